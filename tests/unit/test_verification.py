import pytest

from llm_router.verification import PairVerifier

VERIFIER = PairVerifier()


def refusal(asked: str, answered: str, similarity: float = 0.97) -> str | None:
    """Ask a verifier whether two very similar prompts may share an answer."""
    return VERIFIER.refusal(asked, answered, similarity)


@pytest.mark.parametrize(
    ("reason", "asked", "answered"),
    [
        ("numbers differ", "How do I run 5 km a day?", "How do I run 8 km a day?"),
        ("numbers differ", "List three causes of rust", "List seven causes of rust"),
        ("numbers differ", "What happened in twenty twelve?", "What happened in 2013?"),
        ("numbers differ", "Is a hundred and five prime?", "Is 106 prime?"),
        ("numbers differ", "Describe Henry VIII", "Describe Henry VII"),
        ("numbers differ", "Install Python 3.11 on Debian", "Install Python 3.12 on Debian"),
        ("numbers differ", "What is new in Postgres 16?", "What is new in Postgres?"),
        ("numbers differ", "Who finished third in the race?", "Who finished fourth in the race?"),
        ("numbers differ", "Explain the 2nd law of motion", "Explain the third law of motion"),
        ("numbers differ", "Is it cold at -5 degrees?", "Is it cold at 5 degrees?"),
        ("numbers differ", "What is 2 to the power of 9?", "What is 9 to the power of 2?"),
        ("date differs", "What holidays are in March 2024?", "What holidays are in April 2024?"),
        ("date differs", "What should I wear on Monday?", "What should I wear on Friday?"),
        ("date differs", "Is the bank open tomorrow?", "Is the bank open?"),
        ("unit differs", "How many grams are in a cup?", "How many ounces are in a cup?"),
        ("unit differs", "Convert 10 miles to metres", "Convert 10 miles to yards"),
        ("unit differs", "Is $20 a fair tip?", "Is €20 a fair tip?"),
        ("negation differs", "Should I wake a sleepwalker?", "Should I not wake a sleepwalker?"),
        ("negation differs", "Why doesn't bread rise?", "Why does bread rise?"),
        ("negation differs", "Bake a cake without eggs", "Bake a cake with eggs"),
        ("negation differs", "Foods I can't freeze", "Foods I can freeze"),
        ("opposites", "How do I enable two-factor login?", "How do I disable two-factor login?"),
        ("opposites", "Which is the tallest tower in town?", "Which is the shortest tower in town?"),
        ("opposites", "Is tea better before a meal?", "Is tea better after a meal?"),
        ("opposites", "Sort the records in ascending order", "Sort the records in descending order"),
        ("opposites", "Encrypt the archive with a key", "Decrypt the archive with a key"),
        ("opposites", "Least crowded beach near the harbour", "Most crowded beach near the harbour"),
        ("language or framework differs", "Reverse a string in Rust", "Reverse a string in Swift"),
        ("programming language differs", "Sort a list in C++", "Sort a list in C#"),
        ("unit differs", "Is 40 hours a week more than 5 hours a day?", "Is 40 hours a day more than 5 weeks a day?"),
        ("food differs", "How long do I boil rice?", "How long do I boil pasta?"),
        ("programming language differs", "Write a loop in Python", "Write a loop"),
        ("human language differs", "Say good night in Welsh", "Say good night in Basque"),
        ("place differs", "Who governs Ohio?", "Who governs Utah?"),
        ("brand or product differs", "Reset my Dell laptop", "Reset my Lenovo laptop"),
        ("output format differs", "List the moons as JSON", "List the moons as YAML"),
        ("output format differs", "Describe the sea as a poem", "Describe the sea"),
        ("direction differs", "Flights from Oslo to Rome", "Flights from Rome to Oslo"),
        ("direction differs", "Convert pounds to kilograms", "Convert kilograms to pounds"),
        ("direction differs", "Is a lynx bigger than a puma?", "Is a puma bigger than a lynx?"),
        ("words changed places", "When did Wigan last beat Leeds?", "When did Leeds last beat Wigan?"),
        ("words changed places", "Why did the dog chase the cat?", "Why did the cat chase the dog?"),
        ("question differs", "When did the museum open?", "Where did the museum open?"),
        ("question differs", "Who painted the ceiling?", "Why painted the ceiling?"),
        ("question differs", "How many people live there?", "How long do people live there?"),
        ("question differs", "How does a plough work?", "What is a plough?"),
        ("question differs", "Explain how a plough works", "Tell me what a plough is"),
        ("code identifiers differ", "What does read_csv return?", "What does read_json return?"),
        ("single letters differ", "Foods rich in vitamin C", "Foods rich in vitamin K"),
        ("quoted strings differ", 'Translate "good luck" for me', 'Translate "well done" for me'),
        ("code blocks differ", "Fix this:\n```\nx = y\n```", "Fix this:\n```\nx = z\n```"),
        ("formulas differ", "What does a += b do?", "What does a *= b do?"),
        ("symbols differ", "What does @ mean in a message?", "What does # mean in a message?"),
        ("formulas differ", "Solve (2+3)*4", "Solve 2+(3*4)"),
        ("colour differs", "Why is the red wire live?", "Why is the blue wire live?"),
        ("condition differs", "What is the best free chess app?", "What is the best chess app?"),
        ("no words to compare", "What do you want?", "What do you think?"),
        ("no word in common", "Cheap umbrellas", "Sturdy parasols"),
        ("numbers differ", "Explain part V of the treaty", "Explain part X of the treaty"),
        ("numbers differ", "What was the second prize?", "What was the prize?"),
        ("quoted strings differ", "What does 'salty' mean?", "What does 'sour' mean?"),
        ("names differ", "Who owns the mill in Thornwick today?", "Who owns the mill in Ellerby today?"),
        ("relative differs", "What do I write to my aunt?", "What do I write to my cousin?"),
    ],
)
def test_refuses_what_changes_the_answer(reason: str, asked: str, answered: str) -> None:
    """Whatever changes the answer is refused, by the rule that is named for it, both ways round."""
    assert (reason, reason) == (refusal(asked, answered), refusal(answered, asked))


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("What's the capital of Peru?", "what is the capital of peru"),
        ("Whats a monad", "What is a monad?"),
        ("I don't get recursion", "i dont get recursion"),
        ("Who\N{RIGHT SINGLE QUOTATION MARK}s the mayor of Ghent?", "Who's the mayor of Ghent??"),
        ("Please explain photosynthesis", "Explain photosynthesis, thanks!"),
        ("Could you tell me how tides work?", "How do tides work?"),
        ("Hi there, I was wondering, what is jazz?", "What is jazz? Thank you."),
        ("List two hundred and five primes", "List 205 primes"),
        ("Name the twenty-first letter", "Name the 21st letter"),
        ("How far is 1,500 metres?", "How far is 1500 meters?"),
        ("World War II causes", "causes of world war 2".replace("causes of ", "") + " causes"),
        ("What is your favourite colour?", "What is your favorite color?"),
        ("How do I organise a party?", "How do I organize a party?"),
        ("Who won the U.S. Open?", "Who won the US Open?"),
        ("Best TV shows", "Best television show"),
        ("How does e-mail work?", "How does email work"),
        ("Cats vs dogs", "cats versus dogs"),
        ("IS WATER WET?", "Is water wet?"),
        ("How  do\n\nplants breathe?", "How do plants breathe?"),
        ("What are black holes?", "What is a black hole?"),
        ("How does a plant breathe at night", "How do plants breathe at night?"),
        ("Who invented rock'n'roll?", "who invented rocknroll"),
        ("Best beach for babies", "best beaches for a baby"),
        ("Who owns Connor's and O'Hara's pub?", "who owns connors and oharas pub"),
        ("Was it 5% of GDP?", "Was it 5 percent of GDP?"),
    ],
)
def test_accepts_another_manner_of_writing(asked: str, answered: str) -> None:
    """A difference in nothing but writing never costs a hit, even at the lowest similarity."""
    assert (None, None) == (refusal(asked, answered, 0.85), refusal(answered, asked, 0.85))


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("How do I improve my handwriting?", "What is the best way to improve my handwriting?"),
        ("How can I learn chess?", "How do I learn chess?"),
        ("What is the best novel ever?", "What are the best novels?"),
        ("How do I decorate my small living room?", "What is the best decoration for my small living room?"),
        ("Funny movies", "Hilarious films"),
        ("Where do I invest a small inheritance?", "Where do I make an investment of a small inheritance?"),
        ("In Python, how do I sort a list?", "How do I sort a list in Python?"),
        ("Difference between mitosis and meiosis", "Difference between meiosis and mitosis"),
        ("Difference between hard cheese and soft cheese", "Difference between soft cheese and hard cheese"),
        ("How To Learn Juggling At Home", "How To Study Juggling At Home"),
        ("Is rye bread healthy? If yes, why?", "Is rye bread healthy?"),
    ],
)
def test_accepts_another_wording(asked: str, answered: str) -> None:
    """A question in other words of the same meaning is served when the embedding finds it near."""
    assert refusal(asked, answered) is None


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("How do I grow tomatoes?", "How do I grow cucumbers?"),
        ("What is a kernel in Linux?", "What is a shell in Linux?"),
        ("How do I walk from the harbour to the museum?", "How do I walk from the harbour to the market?"),
        ("Where is the nearest pharmacy?", "Where is the nearest library?"),
    ],
)
def test_refuses_another_subject(asked: str, answered: str) -> None:
    """A word of weight in place of another is refused by the learned score where no rule knows the words."""
    assert "wording too different" == refusal(asked, answered, 0.87)


def test_refuses_long_prompts_with_a_difference() -> None:
    """Beyond what the embedding reads, one other word is one too many."""
    story = "The fox went on through the quiet wood and met an owl. " * 20

    assert "long prompts differ" == refusal(f"{story} Who is the hero?", f"{story} Who is the author?", 1.0)


@pytest.mark.parametrize(("asked", "answered"), [("???", "!!!"), ("🙂", "🙃"), ("你好", "再见")])
def test_refuses_what_it_cannot_read(asked: str, answered: str) -> None:
    """Prompts without a word it knows share an answer only when they are equal."""
    assert (None, True) == (refusal(asked, asked), refusal(asked, answered) is not None)


def test_budget_that_was_never_tuned() -> None:
    """A budget smaller than any the weights were tuned for is an error, not a guess."""
    with pytest.raises(ValueError, match="no wrong-hit budget as small as 1e-09"):
        PairVerifier(budget=1e-9)


def test_smaller_budget_refuses_more() -> None:
    """With next to no budget only near-identical wording is served."""
    asked, answered = "How can I learn chess quickly?", "What is the best way to learn chess?"
    strict = PairVerifier(budget=0.003)

    assert (None, "wording too different") == (refusal(asked, answered, 0.9), strict.refusal(asked, answered, 0.9))


def test_very_long_prompts() -> None:
    """The longest prompt the API takes is read in linear time, whatever it is made of."""
    for piece in ("a", "1", "(", "_", "'", '"', "```", "- ", "a.", "=", "one hundred and ", "please "):
        prompt = (piece * 32_000)[:32_000]

        assert refusal(prompt, prompt) is None
        assert refusal(prompt, f"{prompt[:-9]} aardvark") is not None
