//! Values held against the schemas of docs/openapi.json: as much of JSON Schema as these use, and a
//! keyword that is not known here is an error, so that nothing goes unchecked.

use serde_json::Value;

/// The description of the API.
pub struct Description(Value);

impl Description {
    pub fn load() -> Self {
        let text = include_str!("../../../docs/openapi.json");
        Self(serde_json::from_str(text).expect("docs/openapi.json is JSON"))
    }

    /// All of it.
    pub fn whole(&self) -> &Value {
        &self.0
    }

    /// Paths with their methods, in capitals.
    pub fn operations(&self) -> Vec<(String, String)> {
        let paths = self.0["paths"].as_object().expect("paths");
        let of = |path: &String, methods: &Value| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(|method| (path.clone(), method.to_uppercase())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(|(path, methods)| of(path, methods)).collect()
    }

    /// Whether everybody may ask for this.
    pub fn is_open(&self, path: &str, method: &str) -> bool {
        let security = &self.0["paths"][path][&method.to_lowercase()]["security"];
        security.as_array().is_some_and(Vec::is_empty)
    }

    /// Checks an answer to this operation. `path` is as in the description.
    #[track_caller]
    pub fn check(&self, path: &str, method: &str, answer: &super::http::Answer) {
        let responses = &self.0["paths"][path][&method.to_lowercase()]["responses"];
        let response = &responses[answer.status.to_string()];
        assert!(response.is_object(), "{method} {path} is not said to answer {answer:?}");
        let kind = answer.header("content-type").and_then(|kind| kind.split(';').next());
        let content = &response["content"][kind.expect("a content type")];
        assert!(content.is_object(), "{method} {path} is not said to answer {kind:?}: {answer:?}");
        if kind == Some("application/json") {
            let problem = self.problem(&content["schema"], &answer.json(), "");
            assert_eq!(problem, None, "{method} {path}: {}", answer.body);
        }
    }

    /// What is wrong with a value, and where.
    fn problem(&self, schema: &Value, value: &Value, at: &str) -> Option<String> {
        let wrong = |why: &str| Some(format!("{at}: {why}: {value}"));
        for (keyword, wanted) in schema.as_object().expect("a schema") {
            let found = match &**keyword {
                "description" | "default" | "format" => None,
                "$ref" => {
                    let pointer = wanted.as_str().expect("a pointer").trim_start_matches('#');
                    self.problem(self.0.pointer(pointer).expect(pointer), value, at)
                }
                "anyOf" => {
                    let fits = |one| self.problem(one, value, at).is_none();
                    let any = wanted.as_array().expect("schemas").iter().any(fits);
                    if any { None } else { wrong("is none of these") }
                }
                "type" => {
                    let kinds = wanted.as_array().cloned().unwrap_or(vec![wanted.clone()]);
                    let fits = kinds.iter().any(|kind| is_a(value, kind.as_str().expect("a type")));
                    if fits { None } else { wrong(&format!("is no {wanted}")) }
                }
                "enum" if !wanted.as_array().expect("values").contains(value) => {
                    wrong("is another")
                }
                "minimum" if value.as_f64().is_some_and(|v| v < wanted.as_f64().unwrap()) => {
                    wrong("is too little")
                }
                "maximum" if value.as_f64().is_some_and(|v| v > wanted.as_f64().unwrap()) => {
                    wrong("is too much")
                }
                "enum" | "minimum" | "maximum" => None,
                "required" => wanted.as_array().expect("names").iter().find_map(|name| {
                    let name = name.as_str().expect("a name");
                    value
                        .is_object()
                        .then(|| value.get(name).is_none().then(|| format!("{at}: no {name}")))?
                }),
                "items" => value
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find_map(|item| self.problem(wanted, item, &format!("{at}[]"))),
                "properties" => {
                    value.as_object().into_iter().flatten().find_map(|(name, inner)| {
                        self.problem(wanted.get(name)?, inner, &format!("{at}.{name}"))
                    })
                }
                "additionalProperties" => {
                    value.as_object().into_iter().flatten().find_map(|(name, inner)| {
                        if schema["properties"].get(name).is_some() {
                            return None;
                        }
                        match wanted {
                            Value::Bool(false) => Some(format!("{at}: {name} is not described")),
                            wanted => self.problem(wanted, inner, &format!("{at}.{name}")),
                        }
                    })
                }
                unknown => panic!("this test does not know {unknown}"),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }
}

fn is_a(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        other => panic!("this test does not know the type {other}"),
    }
}

#[test]
fn a_value_that_does_not_fit_is_found() {
    let description = Description::load();
    let schema = &description.whole()["components"]["schemas"]["Subscription"];
    let fine = serde_json::json!({ "filter": "a", "qos": 1, "predefined_id": null });
    assert_eq!(description.problem(schema, &fine, ""), None);
    for wrong in [
        serde_json::json!({ "filter": "a", "qos": 1 }),
        serde_json::json!({ "filter": 1, "qos": 1, "predefined_id": null }),
        serde_json::json!({ "filter": "a", "qos": 3, "predefined_id": null }),
        serde_json::json!({ "filter": "a", "qos": 1, "predefined_id": 1, "more": 1 }),
        serde_json::json!(null),
    ] {
        assert!(description.problem(schema, &wrong, "").is_some(), "{wrong}");
    }
}
