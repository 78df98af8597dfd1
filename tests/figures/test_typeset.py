"""Equations as TeX."""

import pytest
from matplotlib.mathtext import MathTextParser

from wgf.figures.typeset import in_one_power, typeset

EQUATIONS = {
    "rho_t = 0.5 rho_xx, a = 2e-05": r"$\rho_{t} = 0.5\ \rho_{xx},\ a = 2 \cdot 10^{-5}$",
    "rho_t = 0, V = a*x^2 with a = 2": r"$\rho_{t} = 0,\ V = a\,x^{2}\ \mathrm{with}\ a = 2$",
    "rho_t = (rho^1.5)_xx + (rho V')_x": r"$\rho_{t} = (\rho ^{1.5})_{xx} + (\rho \ V')_{x}$",
    "rho_t = (rho (W * rho)_x)_x, W = log|x|": r"$\rho_{t} = (\rho \ (W \ast \rho )_{x})_{x},\ W = \log |x|$",
    "rho_t = (rho U'(rho)_x)_x (blow_up)": r"$\rho_{t} = (\rho \ U'(\rho )_{x})_{x}\ (\mathrm{blow\_up})$",
    "rho_t = 0, V = abs(x)^(2.5)*exp(-x)": r"$\rho_{t} = 0,\ V = \mathrm{abs}(x)^{2.5}\,\exp (-x)$",
    "rho_t = 0 on a circle": r"$\rho_{t} = 0\ \mathrm{on}\ \mathrm{a}\ \mathrm{circle}$",
    "cost $5 of {runs}": r"cost \$5 of {runs}",
    "": "",
}


@pytest.mark.parametrize("text", EQUATIONS)
def test_equations(text: str):
    found = typeset(text, 200)
    assert found == EQUATIONS[text]
    MathTextParser("path").parse(found)


def test_long_equations_have_several_lines():
    lines = typeset("rho_t = rho_xx + (rho V')_x, V = (x - 1)^4/4 - (x - 1)^2/2", 32).splitlines()
    assert len(lines) == 2
    assert all(line[0] == line[-1] == "$" for line in lines)


def test_one_power_of_ten_for_all_values():
    write, label = in_one_power([0.0, 2.5e-7, 3e-7], "time")
    assert [write(value) for value in (0.0, 2.5e-7, 3e-7)] == ["0", "2.5", "3"]
    assert label == "time ($10^{-7}$)"
    write, label = in_one_power([0.3, 0.30001, 1.0], "time")
    assert [write(value) for value in (0.3, 0.30001, 1.0)] == ["0.3", "0.30001", "1"]
    assert label == "time"
