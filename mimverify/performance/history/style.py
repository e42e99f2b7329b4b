"""The page's style sheet: light or dark, as the reader's system is set."""

from __future__ import annotations

__all__ = ["STYLE"]

# Colours distinguishable with any colour vision (Okabe and Ito), lighter ones on dark.
_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b05a8c", "#b07d00", "#3a8fc4")
_DARK = ("#56a9e8", "#ff8f45", "#35c9a0", "#e39ac6", "#f0bd45", "#8fd0f5")

_RULES = """
:root { --ink: #1b1f24; --faint: #656d76; --grid: #e4e7eb; --paper: #ffffff; --bad: #c0182b;
  --good: #16733a; --warn: #8a5a00; LIGHT }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --faint: #9aa4af; --grid: #2c333b; --paper: #14181d; --bad: #ff7b86;
    --good: #57c983; --warn: #e0b04b; DARK }
}
body { margin: 0 auto; padding: 1.5rem; max-width: 80rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
.lead, .place, .note, nav { color: var(--faint); } .note { font-size: .85rem; max-width: 60rem; }
.place { margin-top: 2rem; overflow-wrap: anywhere; }
a { color: inherit; }
.plots { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: .8rem; }
figure { margin: 0; flex: 1 1 330px; max-width: 440px; }
svg { width: 100%; height: auto; display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--faint); }
th, td { padding: .2rem 1.1rem .2rem 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }
td { white-space: nowrap; } td:first-child { white-space: normal; } summary { cursor: pointer; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 50%; }
.holds, .held { color: var(--good); } .fails, .regressed, .broken { color: var(--bad);
  font-weight: 600; } .suspect, .unconfirmed { color: var(--warn); font-weight: 600; }
svg text { fill: var(--ink); font: 10px system-ui, "DejaVu Sans", sans-serif; }
svg .label { font-size: 11px; } svg .faint { fill: var(--faint); }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
.grid { stroke: var(--grid); } .frame { fill: none; stroke: var(--faint); stroke-width: .7; }
.guide { fill: none; stroke: var(--faint); stroke-dasharray: 2 3; }
.line { fill: none; stroke-width: 1.3; } .step { fill: none; stroke-width: 4; opacity: .3; }
.bar { stroke-width: 1; opacity: .55; } .mark { stroke: var(--paper); stroke-width: .6; }
.flag line { stroke: var(--bad); stroke-dasharray: 4 3; } .flag path { fill: var(--bad); }
"""


def _variables(colours: tuple[str, ...]) -> str:
    return " ".join(f"--c{index}: {colour};" for index, colour in enumerate(colours))


STYLE = _RULES.replace("LIGHT", _variables(_LIGHT)).replace("DARK", _variables(_DARK)) + "\n".join(
    f".line.c{k}, .bar.c{k}, .step.c{k} {{ stroke: var(--c{k}); }} "
    f".mark.c{k} {{ fill: var(--c{k}); }} .b{k} {{ background: var(--c{k}); }}"
    for k in range(len(_LIGHT))
)
