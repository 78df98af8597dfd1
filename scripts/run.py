"""The command `wgf` from a checkout: python scripts/run.py network.width=32"""

from wgf.cli import command

if __name__ == "__main__":
    command()
