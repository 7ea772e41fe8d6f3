//! Configuration: what is refused, and how; what overrides what; what is shown of it.

use super::{print::text, *};
use mainstay_providers::Timeouts;
use mainstay_session::spec::Limits;

fn load_with(file: &str, variables: &[(&str, &str)]) -> Result<Config> {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("mainstay-config-{}-{count}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("mainstay.toml");
    fs::write(&path, file).unwrap();
    let options = Options { config: Some(path), ..Options::default() };
    let home = [("HOME", folder.to_str().unwrap())];
    let variables = variables.iter().chain(&home).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let config = load_in(&options, variables.collect());
    fs::remove_dir_all(folder).unwrap();
    config
}

fn refusal(file: &str, variables: &[(&str, &str)]) -> String {
    format!("{:#}", load_with(file, variables).unwrap_err())
}

#[test]
fn a_shape_that_is_wrong_is_refused_with_line_and_reason() {
    for (file, line, reason) in [
        ("[server]\nlisten = 5\n", "line 2", "invalid type"),
        ("[server]\n\nport = 1\n", "line 3", "unknown field `port`"),
        ("[servr]\n", "line 1", "unknown field `servr`"),
        ("[limits]\nmax_steps = -1\n", "line 2", "invalid value"),
        ("[timeouts]\nidle = 5\n", "line 2", "unknown field `idle`"),
        ("[[provider]]\nname = \"a\"\nkind = \"scripted\"\napi_key = { text = \"s\" }\n", "line 4", "unknown variant"),
        (
            "[[provider]]\nname = \"a\"\nkind = \"scripted\"\ntimeouts = { idle = 1 }\n",
            "line 4",
            "unknown field `idle`",
        ),
        ("[[deployment]]\nprovider = \"a\"\n", "line 1", "missing field `model`"),
        (
            "[[deployment]]\nmodel = \"m\"\nprovider = \"p\"\nplace = { city = \"x\" }\n",
            "line 4",
            "unknown field `city`",
        ),
        ("a = [", "line 1", ""),
        ("server = 1", "line 1", "invalid type"),
    ] {
        let error = refusal(file, &[]);
        assert!(error.contains("mainstay.toml") && error.contains(line) && error.contains(reason), "{file}: {error}");
    }
}

const ACCOUNT: &str = "[[provider]]\nname = \"a\"\nkind = \"scripted\"\n";

#[test]
fn a_value_that_cannot_be_is_refused_with_line_and_reason() {
    for (file, line, reason) in [
        ("[server]\nlisten = \"here\"\n", 2, "\"here\" is not ADDRESS:PORT"),
        ("[server]\nconnections = 0\n", 2, "not between 1 and 20000"),
        ("[server]\n\nbodies_limit = 5\n", 3, "less than server.body_limit"),
        ("[server]\nheader_ms = 0\n", 2, "not between"),
        ("[timeouts]\nidle_ms = 99999999999\n", 2, "not between"),
        ("[store]\nurl = \"mysql://x\"\n", 2, "\"mysql\" is neither"),
        ("[[provider]]\nname = \"a\"\nkind = \"b\"\n", 3, "kind `b` is unknown"),
        (&format!("{ACCOUNT}dialect = \"x\"\n"), 4, "dialect `x` is unknown"),
        (&format!("{ACCOUNT}{ACCOUNT}"), 5, "two providers named \"a\""),
        ("[[deployment]]\nmodel = \"m\"\nprovider = \"p\"\n", 3, "no provider named \"p\""),
        (
            &format!(
                "{ACCOUNT}[[deployment]]\nmodel = \"m\"\nprovider = \"a\"\nprice = {{ input = \"1,5\", output = \"2\" }}\n"
            ),
            7,
            "price \"1,5\"",
        ),
    ] {
        let error = refusal(file, &[]);
        assert!(error.contains(&format!("mainstay.toml:{line}: ")) && error.contains(reason), "{file}: {error}");
    }
}

#[test]
fn each_source_overrides_the_one_before_and_is_named() {
    let file = "[server]\nlisten = \"127.0.0.1:1\"\nbody_limit = 7\n[limits]\nmax_steps = 9\n";
    let mut config = load_with(file, &[("MAINSTAY_SERVER_BODY_LIMIT", "8"), ("MAINSTAY_DATA", "/data")]).unwrap();
    assert_eq!((config.listen.port(), config.file.server.body_limit), (1, 8));
    assert_eq!((config.data_dir.to_str().unwrap(), config.file.limits.max_steps), ("/data", 9));
    let of = |config: &Config, name: &str| config.origins.of(name).to_string();
    assert!(of(&config, "server.listen").ends_with("mainstay.toml:2"));
    assert!(of(&config, "limits.max_steps").ends_with("mainstay.toml:5"));
    assert_eq!(of(&config, "server.body_limit"), "$MAINSTAY_SERVER_BODY_LIMIT");
    assert_eq!(of(&config, "server.data_dir"), "$MAINSTAY_DATA");
    assert_eq!(of(&config, "server.body_ms"), "default");
    let data = Some("/flagged".into());
    let options = Options { data, listen: "127.0.0.1:2".parse().ok(), ..Options::default() };
    config = without_file(&options, config.environment).unwrap();
    assert_eq!((config.listen.port(), config.data_dir.to_str().unwrap()), (2, "/flagged"));
    assert_eq!(of(&config, "server.data_dir"), "--data");
}

#[test]
fn every_scalar_setting_has_a_variable() {
    for (section, settings) in defaults().unwrap() {
        // Lists come from the file alone.
        for (name, value) in settings.as_table().unwrap().iter().filter(|(_, value)| !value.is_array()) {
            let variable = environment::variable_of(&section, name);
            let text = value.as_str().map_or_else(|| value.to_string(), |_| "127.0.0.1:3".to_owned());
            let overrides = [(variable.clone(), text)].into_iter().collect::<Environment>();
            let found = overrides.overrides(&defaults().unwrap()).unwrap();
            assert_eq!(found.len(), 1, "{variable}");
            assert_eq!((&found[0].section, &found[0].name, &found[0].variable), (&section, name, &variable));
        }
    }
}

#[test]
fn a_variable_that_is_wrong_is_refused_and_a_stranger_is_named() {
    let error = refusal("", &[("MAINSTAY_LIMITS_MAX_STEPS", "many")]);
    assert!(error.contains("$MAINSTAY_LIMITS_MAX_STEPS = \"many\"") && error.contains("whole number"), "{error}");
    let error = refusal("", &[("MAINSTAY_LISTEN", "nowhere")]);
    assert!(error.starts_with("$MAINSTAY_LISTEN: server.listen: "), "{error}");
    let config = load_with("", &[("MAINSTAY_SERVER_PORT", "tcp://10.0.0.1:1"), ("MAINSTAY_LOG", "info")]).unwrap();
    assert_eq!(config.strangers(), ["MAINSTAY_SERVER_PORT"]);
    assert_eq!(
        (config.file.server.log.as_str(), config.origins.of("server.log").to_string()),
        ("info", "$MAINSTAY_LOG".to_owned())
    );
}

#[test]
fn what_is_not_named_is_read_from_the_users_own_file() {
    let folder = std::env::temp_dir().join(format!("mainstay-own-{}", std::process::id()));
    let own: Environment = [("XDG_CONFIG_HOME".to_owned(), folder.display().to_string())].into_iter().collect();
    let options = Options { data: Some(folder.clone()), ..Options::default() };
    let path = user_path(&own).unwrap();
    assert_eq!(load_in(&options, own.clone()).unwrap().path, None);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "[limits]\nmax_steps = 3\n").unwrap();
    let config = load_in(&options, own).unwrap();
    fs::remove_dir_all(folder).unwrap();
    assert_eq!((config.path, config.file.limits.max_steps), (Some(path), 3));
}

#[test]
fn a_provider_may_be_more_patient_than_others() {
    let file = format!("[timeouts]\nidle_ms = 7\n{ACCOUNT}timeouts = {{ first_token_ms = 5 }}\n");
    let file = load_with(&file, &[]).unwrap().file;
    let timeouts = file.timeouts.with(file.provider[0].timeouts);
    assert_eq!((timeouts.idle.as_millis(), timeouts.first_token.as_millis()), (7, 5));
    assert_eq!(timeouts.connect, Timeouts::default().connect);
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let file = format!("{ACCOUNT}script = \"replies.toml\"\napi_key = {{ file = \"/run/key\" }}\n");
    let config = load_with(&file, &[]).unwrap();
    let folder = config.path.as_deref().unwrap().parent().unwrap();
    assert_eq!(config.file.provider[0].script, Some(folder.join("replies.toml")));
    assert_eq!(config.file.provider[0].api_key, Some(Secret::File("/run/key".into())));
}

#[test]
fn what_is_printed_names_origins_and_hides_secrets() {
    let address = "https://me:very-secret@models.example/v1/a@b";
    let file = format!("{ACCOUNT}api_key = {{ env = \"A_KEY\" }}\nbase_url = \"{address}\"\n");
    let config = load_with(&file, &[("A_KEY", "very-secret"), ("MAINSTAY_STORE_MOST_BYTES", "9")]).unwrap();
    let table = text(&config, None, false).unwrap();
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(line("provider[0].api_key.env").contains("\"A_KEY\""), "{table}");
    assert!(line("provider[0].api_key.env").ends_with("mainstay.toml:4"), "{table}");
    assert!(line("provider[0].base_url").contains("\"https://me:…@models.example/v1/a@b\""), "{table}");
    assert!(line("store.most_bytes").ends_with("$MAINSTAY_STORE_MOST_BYTES"), "{table}");
    let columns = ["SETTING", "store.url", "limits.max_steps"].map(|name| {
        let line = line(name);
        line.find(if name == "SETTING" { "ORIGIN" } else { "default" }).unwrap()
    });
    assert!(columns.iter().all(|column| *column == columns[0]), "aligned: {table}");
    let json: serde_json::Value = serde_json::from_str(&text(&config, None, true).unwrap()).unwrap();
    assert_eq!(json["settings"]["store.most_bytes"]["value"], 9);
    assert_eq!(json["settings"]["store.most_bytes"]["origin"], "$MAINSTAY_STORE_MOST_BYTES");
    assert!(!table.contains("very-secret") && !json.to_string().contains("very-secret"));
    assert!(!format!("{:?}", config.environment).contains("very-secret"));
}

#[test]
fn the_default_file_is_the_default_of_the_code() {
    let file: File = toml::from_str(DEFAULTS).unwrap();
    assert_eq!(file.limits, Limits::default());
    assert_eq!(file.timeouts.with(<_>::default()), Timeouts::default());
    let edge = mainstay_api::Settings::default();
    let server = &file.server;
    assert_eq!((server.body_limit, server.bodies_limit), (edge.body_limit, edge.bodies_limit));
    assert_eq!((server.header_ms, server.body_ms), (edge.header_ms, edge.body_ms));
    assert_eq!((server.body_idle_ms, server.keep_alive_ms), (edge.body_idle_ms, edge.keep_alive_ms));
    assert_eq!(server.connections, edge.connections);
    assert!(file.provider.is_empty() && file.deployment.is_empty() && file.key.is_empty());
}

#[test]
fn keys_beside_their_store_or_without_a_master_are_refused() {
    let file = |url: &str, rest: &str| format!("[keys]\nurl = \"{url}\"\n{rest}\n");
    let master = "master_key = { env = \"M\" }";
    for (text, reason) in [
        (file("sqlite", master), "must begin with postgres://"),
        (file("postgres://h/k", ""), "keys.master_key"),
        (format!("[keys]\n{master}\n"), "names none"),
        ("[store]\nurl = \"postgres://h/d\"\n".to_owned(), "share its keys"),
        (
            format!("[store]\nurl = \"postgres://a@h/d\"\n{}", file("postgres://b@h:5432/d", master)),
            "the store's database",
        ),
    ] {
        let refused = refusal(&text, &[]);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
    assert!(load_with(&file("postgres://u@h/k", master), &[]).is_ok());
}
