"""Names that somebody may give to a layer, a run or a file to break what shows them."""

from __future__ import annotations

NAMES = {
    "script": "<script>alert(1)</script>",
    "closing": "</script></title></style><img src=x onerror=alert(1)>",
    "quotes": '"\'><b onclick="x">',
    "template": "{{ 7 * 7 }}{% raw %}",
    "comment": "--><!-- ]]>",
    "entity": "&lt;script&gt;&#0;",
    "formula": "=cmd|' /C calc'!A0",
    "sum": "@SUM(A1)",
    "plus": "+1+cmd",
    "minus": "-1+cmd",
    "tab": "\t=1",
    "return": "\r=1",
    "line": "a\n=1,b\r\n+2",
    "cells": '";=1,"',
    "escape": "\x1b[31mred\x1b]0;title\x07",
    "c1": "\x9b31m\x85",
    "direction": "\u202eabc\u2066",
    "width": "a\u200bb\ufeff\u00ad\u2028",
    "nul": "a\0b",
    "markup": "[bold red]x[/][/]",
    "markdown": "[x](javascript:alert(1))![](x)`*_|",
    "mathtext": "$\\frac{$",
    "tex": "\\input{/etc/passwd}$$%#_^~",
    "path": "../../etc/passwd",
    "long": "x" * 300,
    "emoji": "\U0001f600 \u4e2d \u0639\u0631",
    "surrogate": "a\ud800",
    "space": " ",
    "empty": "",
    "json": "</script>\\u003c\u2029\\",
}
"""Each for what it attacks."""
