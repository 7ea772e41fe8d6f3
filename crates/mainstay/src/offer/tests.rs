//! What is offered of what was found.

use mainstay_providers::Kind;

use super::*;

type Variables<'a> = &'a [(&'a str, &'a str)];

fn environment(variables: Variables<'_>) -> Environment {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn ollama(local: &[&str], remote: &[&str]) -> Ollama {
    let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Ollama::Running { address: "127.0.0.1:11434".parse().unwrap(), local: texts(local), remote: texts(remote) }
}

fn decided(variables: Variables<'_>, ollama: Ollama, embedded: &[&str]) -> Offers {
    let environment = environment(variables);
    let embedded = embedded.iter().map(|name| (*name).to_owned()).collect();
    decide(&Found { environment: &environment, own_keys: vec!["of-a-client".to_owned()], ollama, embedded })
}

fn models(offers: &Offers) -> Vec<&str> {
    offers.offered.iter().flat_map(Offer::models).collect()
}

const KEYS: [(&str, &str); 2] = [("OPENAI_API_KEY", "sk-1"), ("MISTRAL_API_KEY", "m-1")];

#[test]
fn what_is_found_is_offered_local_first() {
    let hosted = ["gpt-6.2-sol", "gpt-6-luna", "mistral-large-latest", "mistral-small-latest"];
    let table: [(Variables<'_>, Ollama, &[&str], Vec<&str>); 6] = [
        (&[], Ollama::Absent, &[], vec!["echo"]),
        (&[], Ollama::Absent, &["smollm2"], vec!["smollm2"]),
        (&[], ollama(&["qwen3:4b", "gemma3:1b"], &[]), &["smollm2"], vec!["qwen3:4b", "gemma3:1b", "smollm2"]),
        (&KEYS, Ollama::Absent, &[], hosted.to_vec()),
        (&KEYS, Ollama::Absent, &["smollm2"], [&["smollm2"][..], &hosted].concat()),
        (&[("OPENAI_API_KEY", "")], Ollama::Absent, &[], vec!["echo"]),
    ];
    for (variables, ollama, embedded, expected) in table {
        let offers = decided(variables, ollama, embedded);
        assert_eq!(models(&offers), expected, "{variables:?} {embedded:?}");
        assert_eq!(offers.is_echo(), expected == ["echo"]);
    }
}

#[test]
fn only_hosted_offers_say_that_data_leaves() {
    let offers = decided(&KEYS, ollama(&["qwen3:4b"], &[]), &["smollm2"]);
    let away: Vec<_> = offers.offered.iter().filter(|offer| offer.reach == Reach::Away).collect();
    assert_eq!(away.iter().map(|offer| &*offer.provider.name).collect::<Vec<_>>(), ["openai", "mistral"]);
    assert!(away.iter().all(|offer| offer.destination().contains("leaves this machine")));
    assert!(offers.text().contains("data leaves this machine for openai"), "{}", offers.text());
}

#[test]
fn a_key_is_taken_by_its_place_and_never_shown() {
    let offers = decided(&[("GOOGLE_API_KEY", "very-secret")], Ollama::Absent, &[]);
    assert_eq!(offers.offered[0].provider.api_key, Some(Secret::Env("GOOGLE_API_KEY".to_owned())));
    assert!(!format!("{offers:?} {} {}", offers.text(), offers.json()).contains("very-secret"));
    let both = decided(&[("GOOGLE_API_KEY", "a"), ("GEMINI_API_KEY", "b")], Ollama::Absent, &[]);
    assert_eq!(both.offered[0].provider.api_key, Some(Secret::Env("GEMINI_API_KEY".to_owned())));
}

#[test]
fn what_is_not_a_vendors_key_or_not_here_is_left_alone_with_a_reason() {
    let table: [(Variables<'_>, Ollama, &str); 6] = [
        (&[("OPENAI_API_KEY", "msk-1234")], Ollama::Absent, "a key of this server"),
        (&[("OPENAI_API_KEY", "of-a-client")], Ollama::Absent, "a key of this server"),
        (
            &[("OPENAI_API_KEY", "sk-1"), ("OPENAI_BASE_URL", "http://127.0.0.1:7070/v1")],
            Ollama::Absent,
            "for another address",
        ),
        (&[], Ollama::Elsewhere("gpu.example".to_owned()), "gpu.example"),
        (&[], ollama(&[], &["big-cloud"]), "big-cloud"),
        (&[], ollama(&[], &[]), "has no model"),
    ];
    for (variables, ollama, reason) in table {
        let offers = decided(variables, ollama, &[]);
        assert!(offers.is_echo(), "{variables:?}");
        assert!(offers.passed_over.iter().any(|why| why.contains(reason)), "{reason}: {:?}", offers.passed_over);
    }
    let own = [("OPENAI_API_KEY", "sk-1"), ("OPENAI_BASE_URL", "https://API.openai.com/v1/")];
    assert_eq!(models(&decided(&own, Ollama::Absent, &[]))[0], "gpt-6.2-sol");
}

#[test]
fn every_vendor_is_whole() {
    for vendor in VENDORS {
        assert!(!vendor.source.is_empty() && !vendor.models.is_empty() && !vendor.keys.is_empty(), "{}", vendor.name);
        assert!(vendor.base_url.starts_with("https://") && vendor.is_at(vendor.base_url), "{}", vendor.name);
        vendor.kind.parse::<Kind>().unwrap();
    }
}

#[test]
fn a_list_without_end_is_cut() {
    let names: Vec<_> = (0..100).map(|count| format!("model-{count}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    assert_eq!(models(&decided(&[], ollama(&names, &[]), &[])).len(), MOST_OLLAMA_MODELS);
}
