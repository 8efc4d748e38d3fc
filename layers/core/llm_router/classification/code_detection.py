"""Tells whether a prompt carries code, as opposed to talking about it.

Patterns are sorted by where they may begin, so that at most places in a text nearly all of them are ruled out at once.
Every repetition is bounded, so the time taken grows with the length of the prompt and no faster.
"""

import re
from typing import Final

_TAGS: Final = (
    "a|article|body|button|div|em|footer|form|h[1-6]|head|header|html|img|input|label|li|link|main|meta|nav|ol|option|p|pre"
    "|script|section|select|span|strong|style|svg|table|tbody|td|textarea|th|thead|title|tr|ul|video"
)
_COMMANDS: Final = (
    "awk|chmod|chown|cp|curl|docker|find [./~]|git|grep|kubectl|ls|mkdir|npm|pip|ps|rm|rsync|scp|sed|ssh|tar|wget"
)
_AT_START_OF_LINE: Final = (
    r"~~~",
    # Python
    r"from [\w.]{1,80} import [\w*(]",
    r"import [\w.]{1,80} as \w",
    r"import (?:asyncio|collections|csv|datetime|json|logging|math|numpy|os|pandas|random|re|sys|time|torch)$",
    r"class [A-Z]\w{0,80}(?:\([\w., =]{0,120}\))?:$",
    r"(?:else|try|finally|elif [^\n]{1,200}|except [^\n]{1,200}):$",
    r"Traceback \(most recent call last\)",
    r"File \"[^\"\n]{1,200}\", line \d",
    # JavaScript, TypeScript
    r"(?:import|export) [^\n]{1,200} from ['\"]",
    r"export (?:default|const|function|class) \w",
    # C and its relatives
    r"#include ?[<\"]",
    r"return\b[^\n]{0,200};$",
    # shell
    r"#!/",
    r"\$ (?:[a-z]{2,20}(?: |$)|\./)",
    r"export [A-Z_]{1,60}=",
    r"(?:sudo )?(?:apt|apt-get|brew|cargo|npm|pip|pip3|poetry|yarn) (?:add|build|ci|install|run|test|update)(?: \S|$)",
    r"git (?:add|checkout|clone|commit|diff|log|merge|pull|push|rebase|reset|stash)(?: [\w./:@-]{1,100}){0,3}$",
    r"docker (?:build|compose|exec|pull|run) \S",
)
_AT_START_OF_WORD: Final = (
    # Python
    r"def \w{1,80}\(",
    r"for \w{1,40}(?:, ?\w{1,40})? in (?:range|enumerate|zip|sorted|reversed)\(",
    r"self\.\w{1,80} ?[=(.]",
    r"lambda \w{1,40}(?:, ?\w{1,40})?: ?\w",
    # JavaScript, TypeScript
    r"(?:const|var) [$\w]{1,60} ?=[^=]",
    r"(?:const|let|var) [\[{] ?[$\w]",
    r"let [$\w]{1,60} ?= ?(?:[\"'`]|(?:async|await|document|false|function|new|null|this|true)\b|[^;\n]{1,200};$)",
    r"function\*? ?[$\w]{0,60} ?\([^()\n]{0,200}\) ?\{",
    r"console\.(?:error|log|warn)\(",
    r"document\.(?:addEventListener|body|cookie|createElement|getElement|querySelector)",
    r"require\(['\"]",
    # C, C++, C#, Java, Go, Rust
    r"(?:public|private|protected) (?:static|void|int|long|bool|boolean|double|string|String|override) \w",
    r"(?:int|void) main\(",
    r"std::\w",
    r"System\.out\.",
    r"(?:class|interface|struct|enum) \w{1,80}(?: (?:extends|implements) [\w.]{1,80})? ?\{",
    r"fn \w{1,80}(?:<[^<>\n]{1,60}>)?\(",
    r"func (?:\([^()\n]{1,80}\) )?\w{1,80}\(",
    r"(?:fetch|len|malloc|print|printf|println|sizeof)\([^)\s]",
    # SQL; in lower case only where prose cannot read the same
    r"SELECT\s[^;]{1,200}?\sFROM\s",
    r"(?:DELETE FROM|ALTER TABLE|DROP TABLE|TRUNCATE TABLE|LEFT JOIN|INNER JOIN) \w",
    r"[Ss](?i:elect (?:\* from\b|count\())",
    r"[Ss](?i:elect [\w.]{1,40}(?:, ?[\w.]{1,40}){0,20} from \w{1,60}(?:;| where \w{1,60} ?[=<>]))",
    r"[Ii](?i:nsert into [\w.\"`]{1,80} ?(?:\(|values\b))",
    r"[Cc](?i:reate (?:unique )?(?:table|index|view) [\w.\"`]{1,80} ?(?:\(|on \w{1,80} ?\(|as select\b))",
    r"[Uu](?i:pdate [\w.\"`]{1,80} set [\w.\"`]{1,80} ?=)",
    # shell: a command with an option
    rf"(?:{_COMMANDS})(?: [\w./:@+]{{1,60}}){{0,3}} --?[A-Za-z]",
    r"echo [\"'$]",
    r"for \w{1,40} in [^;\n]{1,120}; ?do\b",
    r"if \[{1,2} [-\"$\w]",
)
_ANYWHERE: Final = (
    r"```",
    # calls, blocks, JavaScript's arrows and identity
    r"\.[A-Za-z_]\w{0,60}\([^()\n]{0,120}\)(?:[;:.,)]|$)",
    r"\) ?\{$",
    r"\((?<![\w)]\()[$\w, ]{0,80}\) ?=>",
    r"=> ?\{",
    r"[=!](?<![=!]{2})==(?!=)",
    # shell
    r"\| (?:(?:awk|grep|jq|sed|tee|uniq|wc|xargs)\b|(?:cut|head|less|sort|tail)(?: -|$))",
    r"=\$\(\w",
    r"\$\{[A-Za-z_]{2,60}\}",
    r"&& ?(?:cd|docker|echo|git|make|npm|python|rm|sudo|\./)",
    # HTML, CSS, JSON
    rf"<(?i:/?(?:{_TAGS})(?: [^<>]{{1,300}})?/?>|!doctype html|br ?/?>)",
    r"\{\s{0,20}[a-z-]{2,40}: ?[^{};\n]{1,120};",
    r"\{\s{0,80}\"[^\"\n]{1,120}\"\s{0,8}:\s{0,8}[\[{\"\d\-tfn]",
)
_CODE: Final = re.compile(
    rf"^[ \t]*(?:{'|'.join(_AT_START_OF_LINE)})|\b(?:{'|'.join(_AT_START_OF_WORD)})|{'|'.join(_ANYWHERE)}", re.MULTILINE
)


def has_code(prompt: str) -> bool:
    """Whether the prompt contains a fenced block or a passage that is unlikely as prose.

    A name in back quotes or the name of a command or function is a mention, not code.
    """
    return _CODE.search(prompt.replace("\r\n", "\n")) is not None
