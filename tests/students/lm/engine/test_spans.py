"""Where the values of a copied field may lie."""

from metier.students.lm.engine.spans import Lines, span_grammar
from metier.students.lm.parts import Span

SOURCE = "Shop  B (1-X)\n\n 1, High Street\n2/3/18 and 12/3/18"


def test_an_input_in_lines():
    lines = Lines.of(SOURCE)
    assert lines.texts == ("Shop B (1-X)", "1, High Street", "2/3/18 and 12/3/18")
    assert "".join(lines.flat) == "Shop B (1-X) 1, High Street 2/3/18 and 12/3/18"
    assert ["".join(lines.flat[begin:end]) for begin, end in lines.bounds] == list(lines.texts)
    assert Lines.of(" \n").flat == ()


def test_any_run_where_nothing_is_known_of_the_values():
    assert span_grammar(Span("a"), Lines.of(SOURCE), "0") == ([], r'"\"" SPAN "\""')


def test_runs_from_where_a_line_begins():
    rules, span = span_grammar(Span("a", begins=True, lines=1), Lines.of("1, x\ny"), "0")
    assert span == r'"\"" SPAN_0 "\""'
    assert rules == ['SPAN_0: "1" | "1," | "1, x" | "y"']


def test_whole_lines():
    rules, _ = span_grammar(Span("a", begins=True, ends=True, lines=2), Lines.of('1, x\ny "z"\nw'), "0")
    assert rules == [r'SPAN_0: "1, x" | "1, x y \\\"z\\\"" | "w" | "y \\\"z\\\"" | "y \\\"z\\\" w"']


def test_runs_to_where_a_line_ends():
    rules, _ = span_grammar(Span("a", ends=True, lines=1), Lines.of("RM 1.5\nok"), "2")
    assert rules == ['SPAN_2: ".5" | "1.5" | "5" | "RM 1.5" | "ok"']


def test_forms_are_looked_for_from_sign_to_sign():
    dates = Span("a", forms=(r"\d{1,2}/\d/\d{2}",))
    assert span_grammar(dates, Lines.of(SOURCE), "0") == ([], r'"\"12/3/18\"" | "\"2/3/18\""')
    # Where some that look like a value lie as values do, the others are no values.
    ending = Span("a", ends=True, forms=dates.forms)
    assert span_grammar(ending, Lines.of(SOURCE), "0") == ([], r'"\"12/3/18\""')
    assert span_grammar(ending, Lines.of(SOURCE + " x"), "0") == ([], r'"\"12/3/18\"" | "\"2/3/18\""')
    assert span_grammar(dates, Lines.of("on 2/3/18x"), "0") == ([], r'"\"" SPAN "\""')


def test_runs_of_long_lines_are_no_longer_than_is_spelt_out():
    rules, _ = span_grammar(Span("a", begins=True), Lines.of("a b " * 500), "0")
    assert rules[0].count("|") < 60
