"""Random formulas of x."""

from hypothesis import strategies as st

from wgf.settings.formulas.expression import CONSTANTS, FUNCTIONS

numbers = st.floats(0.1, 9).map(lambda v: f"{v:.3g}") | st.integers(0, 9).map(str)
leaves = st.one_of(st.just("x"), st.sampled_from(list(CONSTANTS)), numbers)


def grow(inner):
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, st.sampled_from("234")).map(lambda t: f"({t[0]})**{t[1]}"),
        st.tuples(st.sampled_from("+-"), inner).map(lambda t: f"({t[0]}{t[1]})"),
        st.tuples(st.sampled_from(FUNCTIONS), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["max", "min"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})"),
        st.tuples(inner, st.sampled_from(["<", ">="]), inner, inner).map(
            lambda t: f"where({t[0]}{t[1]}1,{t[2]},{t[3]})"
        ),
    )


def formulas():
    """Formulas of at most twelve leaves, of everything that may be in one."""
    return st.recursive(leaves, grow, max_leaves=12)
