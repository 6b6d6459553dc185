"""Texts, written for this project, from which dump.py makes the fixtures."""

import itertools

# Prompts for greedy generation. More than are needed: those with a near tie on the way are left out.
PROMPTS = [
    "Once upon a time",
    "The king said",
    "In a small house",
    "The fox looked at the hen.",
    "\"Who is there?\" asked the old",
    "Far away, beyond the seven hills, there stood a",
    "The youngest brother took his knife, his loaf and his stick, and",
    "A poor woodcutter and his wife lived at the edge of a forest.",
    "'Dear mother,' said the girl, 'let me go to the well, and I",
    "When the moon rose over the lake, the swans came down and",
    "There was once a tailor who could sew a coat in a single night, but",
    "The giant slept for a hundred years, and when he woke up he was so hungry that",
    "The princess laughed, clapped her hands, and cried:",
    "\"If you can guess my name,\" said the dwarf, \"you shall have the ring; if not,",
    "Now the miller's cat had heard every word of this, and she",
    "The soldier walked three days and three nights.\n\nOn the fourth day he came to",
    "The Tale of the Copper Kettle\n\nThere lived in a town by the sea an old",
    "He knocked once; he knocked twice; he knocked a third time, and",
    "The café stood in the Bäckerstraße, and the naïve prince of Ærø said",
    "On the top of the hill there grew an apple tree, and every autumn it bore one golden apple. The king "
    "set his three sons to watch it, one after the other, and on the first night",
    "The frog put his head out of the water and spoke. \"Why do you weep, little maid?\" said he. "
    "\"Because my ball has rolled away,\" said she. \"Then I will fetch it for you,\" said the frog, \"but first",
    "All that winter the wolf found nothing to eat, and he grew so thin that the wind could have carried him off. "
    "At last he went to the shepherd's door, and scratched upon it, and said in his softest voice: \"Good friend,",
    "The old queen had a mirror, a comb and a pair of scissors, and nobody knew what they were for. One evening, "
    "when all the servants were at supper, the kitchen boy crept up the stairs, opened the door, and saw the queen "
    "sitting before the mirror. She was combing her hair, and with every stroke of the comb",
    "So they travelled together, the bear before and the boy behind.",
    "\"Yes,\" answered the bird,",
    "Then the North Wind blew",
    "But the ship did not come back, and the merchant",
    "A certain sultan had a garden in which",
    "Long ago, when wishes still came true, there was a blacksmith who wished for nothing at all.",
    "The hare, the hedgehog and the owl held a council, and the owl, who was the wisest, began:",
    "At midnight the clock struck twelve, and the door",
    "She had scarcely spoken these words when",
    "He was the bravest man in all the land, and yet he was afraid of",
    "'Give me three hairs from your beard,' said the lad.",
    "The horse shook his mane and answered: 'Master, do not go over the bridge, for",
    "In the middle of the wood they found a little house made of glass, and inside it",
    "The stepmother gave her a sieve and told her to",
    "They were married the very next day, and",
    "And if they are not dead, they",
    "As soon as the sun was up, the two sisters went down to the river to wash the linen. The elder sang as she "
    "went, but the younger was silent, for in the night she had dreamed of a white horse",
]

# Passages for scoring: one long and in the tone of the training text, two short ones that are not.
PASSAGES = {
    "tale": (
        "There was once a clockmaker who lived in a narrow house by the town gate, and he had a daughter whose name was "
        "Elsbeth. He made clocks for the mayor and for the bishop, and at last he made one for the king himself; but the "
        "clock that stood in his own kitchen had never gone right. Some days it struck nine at noon, and some days it "
        "struck nothing at all.\n\n"
        "'Father,' said Elsbeth one morning, 'why do you not mend our own clock, when you have mended all the others?'\n\n"
        "'Because it is not broken,' said the clockmaker. 'It tells the time of another country, and one day somebody "
        "will come from there and want to know it.'\n\n"
        "The girl laughed at this, but she said no more about it. Now it happened in the winter of that year that a "
        "stranger knocked at the door. He wore a grey cloak, and there was snow upon his shoulders, though no snow had "
        "fallen in the town. 'I have walked a long way,' he said, 'and I do not know how late it is at home.'\n\n"
        "Then Elsbeth led him into the kitchen, and set a bowl of soup before him, and showed him the old clock. When he "
        "saw it he grew pale, and after that he grew merry. 'It is early yet!' he cried. 'My mother has not even lit the "
        "lamp. If I set out at once I shall be there before supper.' And he gave the girl a small silver key, thanked "
        "her three times, and went out by the door into the dark.\n\n"
        "From that day the clock kept perfect time, and nobody in the house could say whether that was good luck or bad."
    ),
    "notice": (
        "The library closes at six on weekdays and at two on Saturdays. Books may be kept for four weeks; please return "
        "them to the desk, not to the shelf. Lost cards cost 3.50 to replace."
    ),
    "code": (
        "for (let i = 0; i < tokens.length; i++) {\n  const gap = times[i + 1] - times[i];\n"
        "  if (gap > 50) slow.push({ i, gap });\n}\n"
    ),
}

# Prompts whose logits and hidden states are dumped; the first one is short, for the states of every layer.
LOGIT_PROMPTS = [
    "The little bird sang",
    "Once upon a time there lived a miller who had three sons, and",
    "\"Open the gate!\" cried the prince; but the gatekeeper only shook his head.\n\n\"Not before sunrise,\" said he,",
    "In the évening the old fisherman drew in his net for the third time, and there was nothing in it but a small "
    "green bottle, stopped with lead and sealed with a seal that he had never seen before. He turned it over in his "
    "hands, held it to his ear,",
]


def tokenizer_strings():
    """A few hundred strings that try every branch of the pre-tokenizer and many of the merges."""
    words = ("king queen forest Once upon a time miller's daughters o'clock THE END don't I'll we've they're he'd "
             "I'm it's IT'S can'T well-known half_way x86 3rd 1,234.56 10:30 a1b2c3 ABCdef camelCase").split()
    strings = ["", " ", "  ", "   ", "\n", "\n\n", "\n\n\n", "\t", "\r\n", " \n ", "\n a", "a\n", "a \n\n b", "  a", "a  ",
               "a   b", "\ta\tb", "a\u00a0b", "a\u2003b", "a\u3000b", "\u2028", "a\r\n\r\nb", "\v\f"]
    strings += words + [f" {word}" for word in words] + [word.upper() for word in words[:12]]
    strings += PROMPTS + list(PASSAGES.values())
    strings += [".", "...", "?!", "--", "(a)", "[b]", "{c}", "<d>", "'", "\"", "''", "`e`", "a/b\\c", "#1", "50%", "$5", "@",
                "a--b", "'s", " 's", "s's", "'S", "'ll'll", "'re're", "end.' 'Yes", "\"Quoted,\" he said", "1+1=2", "_a_"]
    strings += ["naïve café", "Ærøskøbing", "straße", "Łódź", "ěščřžýáíé", "Ελληνικά", "русская сказка", "עברית", "العربية",
                "हिन्दी कहानी", "ไทย", "日本の昔話", "中文童话", "한국어 동화", "Việt Nam", "e\u0301 a\u0308", "ﬁn", "Ⅷ ½ ²", "٣٤٥", "x²+y²"]
    strings += ["🙂", " 🙂🙂", "👩‍👩‍👧‍👦", "🇫🇷🇯🇵", "❤️", "a🐉b", "🏰 castle", "\U0001d49c", "→←↑↓", "“curly” ‘quotes’", "… — –", "€ £ ¥", "©®™"]
    strings += [chr(code) for code in itertools.chain(range(0x00, 0x21), range(0x7F, 0x85), range(0x86, 0xA2))]
    strings += [f"a{chr(code)}b" for code in (0x00, 0x01, 0x07, 0x08, 0x1B, 0x1C, 0x1F, 0x7F, 0x80, 0x9F, 0xAD, 0x200B, 0x200D, 0xFFFD)]
    strings += ["<|endoftext|>", "The end.<|endoftext|>Once", "a <|endoftext|> b", "<|endoftext|><|endoftext|>", "<|endoftext", "|>"]
    strings += ["a" * 50, "ab" * 40, "the" * 20, " the" * 20, "\n" * 10, " " * 17 + "x", "1" * 25, "." * 13, "é" * 9, "🙂" * 5]
    return strings
