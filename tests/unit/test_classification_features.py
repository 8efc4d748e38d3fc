"""What the grader measures in a prompt: terms, code, sentences, steps."""

import pytest

from llm_router.classification.code_detection import has_code
from llm_router.classification.inflection import noun_forms, verb_forms
from llm_router.classification.rules import RuleClassifier
from llm_router.classification.sentences import count_sentences
from llm_router.classification.terms import Text, term_lists


def technical(prompt: str) -> tuple[str, ...]:
    return term_lists().technical.find(Text(prompt))


def system_design(prompt: str) -> tuple[str, ...]:
    return term_lists().system_design.find(Text(prompt))


def reasoning(prompt: str) -> tuple[str, ...]:
    return term_lists().reasoning.find(Text(prompt))


@pytest.mark.parametrize(
    ("noun", "forms"),
    [
        ("database", {"database", "databases"}),
        ("load balancer", {"load balancer", "load balancers"}),
        ("query", {"query", "queries"}),
        ("hash", {"hash", "hashes"}),
        ("array", {"array", "arrays"}),
        ("redis", {"redis"}),
    ],
)
def test_noun_forms(noun: str, forms: set[str]) -> None:
    """A noun is known in the singular and the plural; one that ends in -s already is left alone."""
    assert forms == set(noun_forms(noun))


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        *(("cache", form) for form in ("cache", "caches", "cached", "caching")),
        *(("debug", form) for form in ("debugs", "debugged", "debugging", "debugger")),
        *(("deploy", form) for form in ("deploys", "deployed", "deploying")),
        *(("query", form) for form in ("queries", "queried", "querying")),
        *(("authenticate", form) for form in ("authenticating", "authentication")),
        *(("optimize", form) for form in ("optimizes", "optimizer", "optimization")),
        ("walk through", "walking through"),
        ("compress", "compresses"),
    ],
)
def test_verb_forms(verb: str, form: str) -> None:
    """A verb is known in its regular forms; of a phrase, the first word changes."""
    assert form in set(verb_forms(verb))


@pytest.mark.parametrize(
    ("prompt", "term"),
    [
        ("Which databases do you know?", "database"),
        ("It was cached yesterday.", "cache"),
        ("Kubernetes, please!", "kubernetes"),
        ("three load-tests", "load test"),
        ("a thread-safe list", "thread safe"),
        ("written in C++?", "c++"),
        ("(Node.js)", "node.js"),
        ("tokenising text", "tokenize"),
        ("What is REST", "rest"),
        ("a C#-class in C#", "c#"),
        ("Redis's memory", "redis"),
        ("machine\n   learning", "machine learning"),
    ],
)
def test_technical_terms_are_found_in_their_forms(prompt: str, term: str) -> None:
    """Plurals, verb forms, British spelling, hyphens, line breaks and punctuation around a term do not hide it."""
    assert (term,) == technical(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "The capital of France",
        "a walk in the forest",
        "Take a rest, and do the rest tomorrow",
        "THE REST OF US WENT HOME",
        "Pull the tables together in class and return next week",
        "We go to the next station to import a process of our own design",
        "How do people react to bad news?",
        "The javanese pythoness reapplied",
        "my 250 ml bottle",
        "See https://api.example.com/database/redis?q=python for it",
        "snake_python_case",
        "a wide array of monty python sketches",
    ],
)
def test_everyday_words_are_not_technical(prompt: str) -> None:
    """Parts of words, everyday senses, addresses and identifiers are not technical terms."""
    assert technical(prompt) == ()


def test_terms_count_once() -> None:
    """However often and in whatever form a term occurs, it counts once."""
    assert technical("database, databases, DATABASE, redis database") == ("database", "redis")


def test_a_phrase_hides_the_terms_inside_it() -> None:
    """The longest term wins, so that a database index is one term and not two."""
    assert technical("how a database index works") == ("database index",)


@pytest.mark.parametrize(
    ("prompt", "terms"),
    [
        ("microservices behind load balancers", ("microservice", "load balancer")),
        ("sharding and highly-available failover", ("shard", "highly available", "failover")),
        ("leaflets distributed among the crowd, a shard of glass", ()),
        ("The fish scales to be removed are a system", ()),
        ("a scalable vector graphics file", ()),
    ],
)
def test_system_design_terms(prompt: str, terms: tuple[str, ...]) -> None:
    """System-design terms are found in their forms, and not in prose that shares a word with them."""
    assert terms == system_design(prompt)


@pytest.mark.parametrize(
    ("prompt", "terms"),
    [
        ("Compare and contrast cats and dogs", ("compare", "contrast")),
        ("Analyse the trade-offs", ("analyze", "trade off")),
        ("Why is the sky blue?", ("why",)),
        ("Design Rome. Then prove it, and please discuss it.", ("design", "prove", "discuss")),
        ("an industrial design museum with a plan", ()),
        ("Explain what a fork is", ()),
        ("that's why we left", ()),
        ("which code analyzer is best", ()),
    ],
)
def test_reasoning_words(prompt: str, terms: tuple[str, ...]) -> None:
    """Words that ask for thought count; verbs that are nouns too count only where they open a clause."""
    assert terms == reasoning(prompt)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Hello", 1),
        ("Hello!", 1),
        ("Hello. World", 2),
        ("One. Two! Three? Four.", 4),
        ("Really?! Yes.", 2),
        ("Pi is 3.14 or so", 1),
        ("Use e.g. Redis, i.e. a cache, etc. for it", 1),
        ("Apples, pears, etc. Then go.", 2),
        ("Dr. Smith met J. R. Jones vs. Mr. X", 1),
        ("In the U.S. people vote at 8 p.m. on Tuesdays", 1),
        ("See https://example.com/a.b?c=d. Then stop.", 2),
        ("Python 3.12.1 and main.py differ", 1),
        ("Open main.py. Run it.", 2),
        ("Well... maybe… not", 1),
        ('He said "Stop." She did.', 2),
        ("1. Wash.\n2. Dry.", 2),
        ("We like Python 3. It works.", 2),
        ("Hi ! ! !", 1),
        ("...", 0),
        ("你好。 再见\N{FULLWIDTH EXCLAMATION MARK}", 2),
    ],
)
def test_sentences(text: str, count: int) -> None:
    """Decimals, abbreviations, initials, addresses, versions, file names, list numbers and ellipses end no sentence."""
    assert count == count_sentences(text.split())


@pytest.mark.parametrize(
    "prompt",
    [
        pytest.param("Fix it:\n```\nanything\n```", id="fence"),
        pytest.param("def add(a, b):\n    return a + b", id="python-def"),
        pytest.param("import numpy as np", id="python-import"),
        pytest.param("try\nfrom os.path import join\n", id="python-from"),
        pytest.param("import os\nimport sys", id="python-stdlib"),
        pytest.param("why does for i in range(10): fail", id="python-loop"),
        pytest.param("class Dog(Animal):\n    legs = 4", id="python-class"),
        pytest.param("Traceback (most recent call last):\n  boom", id="python-traceback"),
        pytest.param("x = []\r\nimport json\r\n", id="python-crlf"),
        pytest.param("const total = items.length", id="js-const"),
        pytest.param("let name = 'x'", id="js-let"),
        pytest.param("items.map((item) => item.id)", id="js-arrow"),
        pytest.param("function add(a, b) { return a + b }", id="js-function"),
        pytest.param("is a === b", id="js-identity"),
        pytest.param("SELECT name\nFROM users", id="sql-select"),
        pytest.param("what does select * from users do", id="sql-lower"),
        pytest.param("insert into users (name) values ('x')", id="sql-insert"),
        pytest.param("create table users (id int)", id="sql-create"),
        pytest.param("update users set name = 'x'", id="sql-update"),
        pytest.param("$ ls", id="shell-prompt"),
        pytest.param("what is rm -rf for", id="shell-option"),
        pytest.param("dmesg | grep usb", id="shell-pipe"),
        pytest.param("#!/bin/sh", id="shell-shebang"),
        pytest.param("pip install requests", id="shell-install"),
        pytest.param("<div class='a'>x</div>", id="html"),
        pytest.param("a { color: red; }", id="css"),
        pytest.param('{"name": "x"}', id="json"),
        pytest.param('[\n  {\n    "id": 1\n  }\n]', id="json-nested"),
        pytest.param("#include <stdio.h>", id="c"),
        pytest.param("public static void main(String[] a)", id="java"),
        pytest.param("fn main() -> i32", id="rust"),
        pytest.param("func (s *Server) Run(ctx)", id="go"),
        pytest.param("please explain client.get(url);", id="call"),
    ],
)
def test_code(prompt: str) -> None:
    """Code of many languages is seen, with or without a fence."""
    assert has_code(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "Return to the class and import duties from China",
        "import duties from China rose",
        "I <3 you, and 3 < 4 > 2",
        "let me = think",
        "Let x = 5 and f(x) = 2x; find the function f(x) at $x$",
        "Select a book from the list where you live",
        "Update the plan, set a date and create a table of contents",
        "For the following:\nelse we lose",
        "Else: we lose",
        "What does `print` do? And os.path.join?",
        "How do I use git status and grep?",
        "What does print() return?",
        "class schedule:\nMonday",
        "Title\n=====\nText",
        "go home\nmake lunch",
        "find the cat - it is well-known",
        "a public class for private lessons",
        "{curly} [square] (round) | name | sort |",
        "It costs $ 5; $(a+b)^2$ is a formula",
        "She wrote; he read;\nthey left;",
        "A => B, so f(x) => y",
        "the variable self and a lambda",
        "e.g.(this) is fine",
    ],
)
def test_prose_is_not_code(prompt: str) -> None:
    """Prose that borrows words or signs of a programming language is not code."""
    assert not has_code(prompt)


@pytest.mark.parametrize(
    "prompt",
    [
        "Wash it, then dry it.",
        "First, boil water.",
        "Do it. Finally, rest.",
        "Tell me step by step",
        "1. boil water\n2. add salt",
        "Sort the list and explain the cost",
        "Walk me through it",
    ],
)
def test_multi_step(prompt: str) -> None:
    """Words of order, numbered lists and a second instruction make a prompt multi-step."""
    assert RuleClassifier().classify(prompt).features.is_multi_step


@pytest.mark.parametrize(
    "prompt",
    [
        "Now and then it rains",
        "If so then what",
        "Then what?",
        "He is first in line",
        "1. boil water",
        "I finally got it",
    ],
)
def test_not_multi_step(prompt: str) -> None:
    """Everyday uses of the same words, and a list of one, are no chain of steps."""
    assert not RuleClassifier().classify(prompt).features.is_multi_step


def test_list_sizes() -> None:
    """The lists are as broad as promised, and no term is listed as two things at once."""
    lists = term_lists()

    assert [
        len(set(term_list._terms.values())) >= at_least  # noqa: SLF001  the size is not worth a public name
        for term_list, at_least in ((lists.technical, 80), (lists.system_design, 20), (lists.reasoning, 15))
    ] == [True, True, True]
