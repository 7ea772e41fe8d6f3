//! Configuration: what is refused, and how; what overrides what.

use super::*;

fn load_text(text: &str) -> Result<Config> {
    let folder = std::env::temp_dir().join(format!("mainstay-config-{}-{}", std::process::id(), text.len()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("mainstay.toml");
    fs::write(&path, text).unwrap();
    let config = load(&Options { config: Some(path), data: Some(folder.clone()), listen: None });
    fs::remove_dir_all(folder).unwrap();
    config
}

#[test]
fn a_file_that_is_wrong_is_refused_with_line_and_reason() {
    for (text, line, reason) in [
        ("[server]\nlisten = 5\n", "line 2", "invalid type"),
        ("[server]\n\nport = 1\n", "line 3", "unknown field `port`"),
        ("[servr]\n", "line 1", "unknown field `servr`"),
        ("[[provider]]\nname = \"a\"\nkind = \"scripted\"\napi_key = { text = \"s\" }\n", "line 4", "unknown variant"),
        ("[[deployment]]\nprovider = \"a\"\n", "line 1", "missing field `model`"),
        (
            "[[deployment]]\nmodel = \"m\"\nprovider = \"p\"\nplace = { city = \"x\" }\n",
            "line 4",
            "unknown field `city`",
        ),
        ("a = [", "line 1", ""),
    ] {
        let error = format!("{:#}", load_text(text).unwrap_err());
        assert!(error.contains("mainstay.toml") && error.contains(line) && error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn flags_override_the_file_and_the_file_overrides_defaults() {
    let config = load_text("[server]\nlisten = \"127.0.0.1:1\"\ndata_dir = \"/nowhere\"\n").unwrap();
    assert_eq!(config.listen.port(), 1);
    assert!(
        config.data_dir.ends_with(config.data_dir.file_name().unwrap()) && config.data_dir != Path::new("/nowhere")
    );
    assert_eq!(config.file.limits, Limits::default());
    assert_eq!(origin_of(&config.origins, "server.data_dir"), "--data");
    assert_eq!(origin_of(&config.origins, "limits.max_steps"), "default");
}

#[test]
fn the_default_file_is_the_default_of_the_code() {
    let file: File = toml::from_str(DEFAULTS).unwrap();
    assert_eq!(file.limits, Limits::default());
    assert!(file.provider.is_empty() && file.deployment.is_empty() && file.key.is_empty());
}
