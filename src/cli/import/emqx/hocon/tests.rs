//! HOCON, as EMQX has it, and what it is not.

use super::*;

fn root(text: &str) -> Object {
    parse(text.as_bytes()).unwrap_or_else(|wrong| panic!("{wrong:?}")).root
}

#[test]
fn all_the_ways_to_write_the_same() {
    let plain = "{\"a\": {\"b\": {\"c\": \"1\", \"d\": [\"x\", \"y\"]}}}";
    for text in [
        plain,
        "a.b.c = 1\na.b.d = [x, y]",
        "a { b { c = 1, d = [\n x\n y ] } } // end",
        "a : { b.c: 1 } # first\n a.b { d: [x y] }",
        "a.b { c = 1 d = [x,y,] }",
        "\u{FEFF}a.\"b\".c = 0\na.b.c = \"\\u0031\"\r\na.b.d = [\"\"\"x\"\"\", y]\n",
    ] {
        assert_eq!(shape(&root(text)), shape(&root(plain)), "{text}");
    }
}

/// Without the lines.
fn shape(object: &Object) -> String {
    let value = |node: &Node| match &node.value {
        Value::Object(object) => shape(object),
        Value::List(list) => {
            format!("{:?}", list.iter().map(|node| &node.value).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    object.0.iter().map(|(key, node)| format!("{key}({})", value(node))).collect()
}

#[test]
fn values_know_their_lines_and_references_what_they_are() {
    let document = parse(
        b"include \"a.conf\"\n\n# x\na {\n  b = 127.0.0.1:1884\n  c = ${x.y}/z\n  d = \"${x}\"\n}\n\
          include required(file(\"b\"))\ninclude_me = 30s",
    )
    .unwrap();
    let a = document.root.object("a").unwrap();
    assert_eq!((a.0["b"].line, a.text("b")), (5, Some("127.0.0.1:1884")));
    assert_eq!(a.0["c"].value, Value::Reference("${x.y}/z".to_owned()));
    assert_eq!(a.text("d"), Some("${x}"));
    assert_eq!(document.root.text("include_me"), Some("30s"));
    let includes: Vec<usize> = document.includes.iter().map(|(line, _)| *line).collect();
    assert_eq!(includes, [1, 9]);
}

#[test]
fn what_is_not_understood_is_said_with_its_line() {
    for (text, line) in [
        ("a = 1\nb = foo bar\nc = 1", 2),
        ("a {\n b = 1", 1),
        ("a = [1\n", 1),
        ("a = 1\n}", 2),
        ("a = \"x\n", 1),
        ("a = \"\"\"x\n", 1),
        ("a = \"\\x\"", 1),
        ("a = \"\\uD800\"", 1),
        ("a =\n", 1),
        ("\na += 1", 2),
        ("a = {} [1]", 1),
        ("a..b = 1", 1),
        ("= 1", 1),
    ] {
        let wrong = parse(text.as_bytes()).unwrap_err();
        assert_eq!(wrong.line, line, "{text}: {wrong:?}");
    }
    assert_eq!(parse(b"a = 1\n\xFF").unwrap_err().line, 2);
}

#[test]
fn nesting_has_a_limit() {
    let dots = |n: usize| format!("{}a = 1", "a.".repeat(n));
    let braces = |n: usize| format!("{}{}", "a {".repeat(n), "}".repeat(n));
    let brackets = |n: usize| format!("a = {}{}", "[".repeat(n), "]".repeat(n));
    for (few, many) in [
        (dots(30), dots(200_000)),
        (braces(15), braces(200_000)),
        (brackets(30), brackets(500_000)),
    ] {
        assert!(parse(few.as_bytes()).is_ok(), "{few}");
        assert!(parse(many.as_bytes()).unwrap_err().message.contains("deep"));
    }
}
