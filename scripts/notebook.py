"""The tutorial as an executed notebook: `python scripts/notebook.py` makes docs/tutorial.ipynb from docs/tutorial.py.

It needs the extra `docs`. The cells are those of the tutorial, which the tests run; the outputs are of this run.
"""

from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
SCRIPT, NOTEBOOK = DOCS / "tutorial.py", DOCS / "tutorial.ipynb"


def main() -> None:
    import jupytext
    import nbformat
    from nbclient import NotebookClient

    notebook = jupytext.read(SCRIPT)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"  # equal from run to run
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    NotebookClient(notebook, kernel_name="python3", timeout=300).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time of day
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
