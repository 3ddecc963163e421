"""What the values of a field look like."""

import re

from metier.students.lm.forms import forms_of


def grouped(values: list[str]) -> list[tuple[str, str]]:
    return [(value, str(place)) for place, value in enumerate(values)]


def test_dates_are_of_a_few_forms():
    values = [f"{day}/1{day % 3}/2018" for day in range(1, 31)] + [f"{day:02} MAY 18" for day in range(1, 31)]
    forms = forms_of(grouped(values))
    assert forms == (r"\d{1,2}/\d{2}/\d{4}", r"\d{2}\ [^\W\d_]{3}\ \d{2}")
    assert all(any(re.fullmatch(form, value) for form in forms) for value in values)
    assert not any(re.fullmatch(form, "299.80") for form in forms)


def test_names_are_of_too_many():
    assert forms_of(grouped([f"{'x' * length} {'y' * (length % 7)}" for length in range(1, 60)])) == ()


def test_a_form_of_one_group_alone_is_kept_where_it_is_an_exception():
    usual = [(f"{n}.50", str(n % 40)) for n in range(10, 90)]
    assert forms_of([*usual, ("-9.50", "40")]) == (r"\d{2}\.\d{2}", r"\-\d{1}\.\d{2}")
    odd = [(f"{'-' * n}9.50", f"odd {n}") for n in range(1, 9)]
    assert forms_of([*usual, *odd]) == ()


def test_a_length_that_one_group_alone_has_counts_as_new():
    usual = [(f"{n}.50", str(n % 40)) for n in range(10, 90)]
    longer = [(f"{'1' * n}.50", f"odd {n}") for n in range(3, 9)]
    # Only the longest stretches what the others make room for.
    assert forms_of([*usual, *longer]) == (r"\d{2,8}\.\d{2}",)


def test_few_groups_say_nothing():
    assert forms_of([(f"{n}.50", str(n % 10)) for n in range(10, 90)]) == ()
    assert forms_of([]) == ()
