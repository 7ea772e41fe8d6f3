//! Templates of the families in use, in miniature, against what their authors' renderer gives.

use serde_json::json;

use super::{Template, to_python};

const CHATML: &str = "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

const STRICT: &str = "{{ bos_token }}{% for message in messages %}
    {% if message.role == 'system' %}
        {{- raise_exception('no system') }}
    {% endif %}
    {% if (message.role == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('roles must take turns') }}
    {% endif %}
    {{- '<turn>' + message.role + '\n' + message.content.strip() + '</turn>\n' }}
{% endfor %}";

#[test]
fn a_template_renders_as_its_authors_do() {
    let template = Template::new(CHATML, "", "<|im_end|>").unwrap();
    let messages = json!([{ "role": "system", "content": "S" }, { "role": "user", "content": "U" }]);
    let text = template.render(&messages, &json!(null), true).unwrap();
    assert_eq!(text, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n");
    assert!(template.has_system && template.repeats_roles && !template.shows_tools);
}

#[test]
fn what_a_template_refuses_is_found_out() {
    let template = Template::new(STRICT, "<s>", "").unwrap();
    assert!(!template.has_system && !template.repeats_roles && !template.shows_tools);
    let text = template.render(&json!([{ "role": "user", "content": " U " }]), &json!(null), true).unwrap();
    assert_eq!(text, "<s><turn>user\nU</turn>\n\n");
}

#[test]
fn templates_that_cannot_serve_are_refused() {
    assert!(Template::new("{% for", "", "").unwrap_err().contains("does not compile"));
    assert!(Template::new("fixed", "", "").unwrap_err().contains("does not show"));
    let endless =
        "{% for a in range(9999) %}{% for b in range(9999) %}{{ messages[0].content }}{% endfor %}{% endfor %}";
    assert!(Template::new(endless, "", "").unwrap_err().contains("fails"));
}

#[test]
fn json_is_written_as_python_does() {
    let value = json!({ "b": [1, 2.5, null, true], "a": { "text": "<é \"x\">" }, "none": {}, "empty": [] });
    assert_eq!(
        to_python(&value),
        r#"{"b": [1, 2.5, null, true], "a": {"text": "<é \"x\">"}, "none": {}, "empty": []}"#
    );
    let template = "{{ messages[0].content }}{{ tools | tojson(indent=2) }}";
    let template = Template::new(template, "", "").unwrap();
    let text = template.render(&json!([{ "content": "" }]), &json!([{ "a": 1 }]), false).unwrap();
    assert_eq!(text, "[\n  {\n    \"a\": 1\n  }\n]");
}
