"""Draws versions for a terminal: a lineage as a tree, a difference as tables. Foreign text stays text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cli.display import print_table, say
from judging.verdict import Finding
from registry.alias_move import Move
from registry.lineage import Lineage, Mark, Node, Step
from registry.plain_text import one_line, plain
from registry.version_diff import Change, Difference

_COLOURS = {
    Mark.PASS: "green",
    Mark.FAIL: "red",
    Mark.INCONCLUSIVE: "yellow",
    Mark.ERROR: "red",
    Mark.SIGNED: "cyan",
    Mark.DOUBTFUL: "yellow",
    Mark.MISSING: "bright_black",
    Mark.PLAIN: "",
}
_MOST_FINDINGS = 12  # of one gate; the page and --json have all
_LONGEST = 100  # characters of a value in a table
_PIPE_WIDTH = 200  # characters
_ELSEWHERE = "alias moves over there, where it came from: not this house's log"


def print_lineage(lineage: Lineage) -> None:
    """The tree on standard output; in a pipe digests stay whole, on a terminal they fold."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PIPE_WIDTH)
    console.print(lineage_tree(lineage))


def lineage_tree(lineage: Lineage) -> Tree:
    """Where a version stands, every step with digest, mark and signer, and what its policy still asks for."""
    mark, standing = lineage.standing
    head = Text.assemble((lineage.version.reference, "bold"), "  ", (standing, f"bold {_COLOURS[mark]}"))
    if lineage.aliases:
        head.append(f"  {', '.join(lineage.aliases)}")
    tree = Tree(head, guide_style="bright_black")
    if lineage.exempt:
        tree.add(Text(plain(lineage.exempt), "yellow"))
    for names, lacks in lineage.asked:
        branch = tree.add(Text(f"what keeps it from {' and '.join(names)}", "red"))
        for sentence in lacks:
            branch.add(Text(plain(sentence)))
    for step in Step:
        branch = tree.add(Text(str(step), "bright_black"))
        for node in lineage.of_step(step):
            leaf = branch.add(_line(node))
            for text in _below(node):
                leaf.add(text)
    _add_moves(tree, "alias moves", lineage.moves)
    _add_moves(tree, _ELSEWHERE, lineage.elsewhere)
    return tree


def _add_moves(tree: Tree, title: str, moves: Sequence[Move]) -> None:
    branch = tree.add(Text(title, "bright_black")) if moves else tree
    for move in moves:
        why = one_line(f"{move.who}: {move.why}", _LONGEST)
        branch.add(Text(f"{_when(move.at)}  {move.alias} to {move.target}  {why}"))


def print_difference(difference: Difference) -> None:
    """What differs, a table per section, on standard output."""
    columns = ["", difference.before, difference.after]
    for section in difference.sections:
        if section.changes:
            print_table(section.title, columns, [_row(change) for change in section.changes])
        if section.note:
            Console().print(Text(f"{section.title}: {plain(section.note)}", "yellow"), soft_wrap=True)
    if difference.template:
        Console().print(Text("chat template", "italic"))
        for line in difference.template:
            Console().print(Text(plain(line), _line_style(line)), soft_wrap=True)
    if difference.gates:
        _print_gates(difference)
    if not difference.changed:
        say(f"{difference.before} and {difference.after} are the same but for what the gates measured.")


def _print_gates(difference: Difference) -> None:
    """Each finding of a gate, one version under the other, in the gate's own words: they hold the numbers."""
    console, width = Console(), max(len(difference.before), len(difference.after))
    console.print(Text("gates", "italic"))
    for measured in difference.gates:
        console.print(Text(plain(f"{measured.gate} {measured.name}"), "bold"))
        sides = ((difference.before, measured.before), (difference.after, measured.after))
        for reference, found in sides:
            line = Text(f"  {reference:{width}}  ")
            console.print(line.append(_finding(found) if found else "-"), soft_wrap=True)


def _line(node: Node) -> Text:
    line = Text.assemble((plain(node.title), "bold"))
    if node.mark is not Mark.PLAIN:
        line.append(f"  {node.mark}", _COLOURS[node.mark])
    if summary := one_line(node.summary, _LONGEST):
        line.append(f"  {summary}")
    return line


def _below(node: Node) -> Iterator[Text]:
    for name, digest in node.digests.items():
        yield Text(f"{name} {digest}", "bright_black", overflow="fold")
    if node.doubt:
        yield Text(plain(node.doubt), "yellow")
    elif node.signer:
        yield Text(f"signed by {node.signer} {_when(node.at)}".rstrip(), "bright_black")
    if node.counts and node.counts.verdict:
        findings = node.counts.verdict.findings
        yield from (_finding(finding) for finding in findings[:_MOST_FINDINGS])
        if len(findings) > _MOST_FINDINGS:
            yield Text(f"and {len(findings) - _MOST_FINDINGS} more findings")


def _finding(finding: Finding) -> Text:
    return Text.assemble((f"{finding.outcome} ", _COLOURS[Mark(finding.outcome)]), plain(finding.message))


def _row(change: Change) -> list[str]:
    return [change.what, _value(change.before), _value(change.after)]


def _value(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict) and value.keys() == {"digest", "size"}:
        return f"{value['size']:,} bytes {value['digest'][7:19]}"
    return one_line(str(value), _LONGEST)


def _when(at: str) -> str:
    return at[:16].replace("T", " ")


def _line_style(line: str) -> str:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
