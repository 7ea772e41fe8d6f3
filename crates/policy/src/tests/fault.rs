//! What an operator is told of policies that do not load, and what a version is made of.

use super::*;
use crate::{Error, MAX_FAULTS};

fn faults(sources: &[Source]) -> String {
    match Policies::load(sources) {
        Ok(_) => "loaded".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_fault_has_its_place_and_what_would_be_right() {
    let scope = "(principal, action, resource)";
    let table: &[(&str, &str, &str)] = &[
        ("permit (principal, action resource);", "a.cedar:1:27: unexpected token `resource`", "expected"),
        ("// why\n\npermit (principal, action, resource)", "a.cedar:3:37: unexpected end of input", "expected"),
        (
            "permit (principal == ?principal, action, resource);",
            "a.cedar:1:22: expected a static policy",
            "removing the template slot",
        ),
        (
            &format!("\n  @verdit(\"ask\") permit {scope};"),
            "a.cedar:2:3: there is no annotation `@verdit`",
            "known are @id",
        ),
        (
            &format!("@verdict(\"maybe\") permit {scope};"),
            "a.cedar:1:1: \"maybe\" is no verdict",
            "write @verdict(\"ask\")",
        ),
        (
            &format!("@verdict(\"ask\") @quorum(\"0\") permit {scope};"),
            "a.cedar:1:17: \"0\" is no number of people",
            "from 1 to 16",
        ),
        (
            &format!("@verdict(\"ask\") @expires(\"1w\") permit {scope};"),
            "a.cedar:1:17: \"1w\" is no duration",
            "@expires(\"24h\")",
        ),
        (
            &format!("@verdict(\"ask\") @expires(\"366d\") permit {scope};"),
            "a.cedar:1:17: \"366d\" is no duration",
            "365d",
        ),
        (
            &format!("@verdict(\"ask\") @edit(\"yes\") permit {scope};"),
            "a.cedar:1:17: \"yes\" says nothing",
            "@edit(\"allow\")",
        ),
        (&format!("@verdict(\"ask\") @approvers(\" \") permit {scope};"), "a.cedar:1:17: \" \" is no name", "1 to 256"),
        (
            &format!("@quorum(\"2\") permit {scope};"),
            "a.cedar:1:1: `@quorum` says nothing on a policy that does not ask",
            "@verdict",
        ),
        (&format!("@id(\"\") permit {scope};"), "a.cedar:1:1: \"\" is no name", "a name has"),
        (
            &format!("@reason(\"\") permit {scope};"),
            "a.cedar:1:1: the reason is empty or too long",
            "leave @reason out",
        ),
        (
            &format!("@id(\"a\") permit {scope};\n@id(\"a\") forbid {scope};"),
            "a.cedar:2:1: the id \"a\" is taken by a.cedar:1",
            "an @id of its own",
        ),
        (
            "@tenant(\"a\") permit (principal in Tenant::\"b\", action, resource);",
            "a.cedar:1:1: the policy is for tenant \"a\" and its scope is tenant \"b\"",
            "name one tenant",
        ),
        (
            "permit (principal, action == Action::\"call_tool\", resource)\nwhen { context.argument.x };",
            "a.cedar:2:8: ",
            "did you mean `arguments`?",
        ),
        ("permit (principal, action == Action::\"call\", resource);", "a.cedar:1:30: ", "did you mean `Action::"),
        ("permit (principal in Tenat::\"a\", action, resource);", "a.cedar:1:22: ", "did you mean `Tenant`?"),
        (
            "forbid (principal, action == Action::\"infer\", resource) when { resource.evidence >= \"high\" };",
            "a.cedar:1:85: ",
            "",
        ),
        (
            "forbid (principal, action == Action::\"infer\", resource) when { resource.region == \"eu\" };",
            "a.cedar:1:64: ",
            "try testing for the attribute's presence",
        ),
        (
            "forbid (principal, action == Action::\"call_tool\", resource) when { context.arguments.number.getTag(\"a\") > 1 };",
            "a.cedar:1:68: ",
            "hasTag",
        ),
        ("forbid (principal, action == Action::\"infer\", resource is Tool);", "a.cedar:1:1: ", ""),
    ];
    for (text, begins, right) in table {
        let told = faults(&[source(text)]);
        assert!(told.starts_with(begins) && told.contains(right), "{text}\n  told {told}\n  not  {begins} … {right}");
    }
}

#[test]
fn every_fault_of_every_source_is_told_at_once() {
    let b = Source {
        name: "b.cedar".to_owned(),
        text: "\npermit (principal, action, resource) when { 1 };\nforbid (principal, action);".to_owned(),
    };
    let told = faults(&[b, source("@x(\"1\") permit (principal, action, resource);")]);
    let places: Vec<_> = told.lines().filter_map(|line| line.split(": ").next()).collect();
    assert_eq!(places, ["a.cedar:1:1", "b.cedar:2:45", "b.cedar:3:26"], "{told}");
    let many = faults(&[source(&"permit (principal, action);\n".repeat(MAX_FAULTS + 5))]);
    assert!(many.ends_with("and 5 more"), "{many}");
}

#[test]
fn sources_are_bounded_and_have_names() {
    let twice = faults(&[source(""), source("")]);
    assert_eq!(twice, "a.cedar: two sources have this name; give each source a name of its own");
    let long = faults(&[source(&" ".repeat(crate::load::MAX_SOURCE_BYTES + 1))]);
    assert_eq!(long, "a.cedar: 4194305 bytes are too many; a source has at most 4194304 bytes");
    let wide = format!("permit (principal, action, resource) when {{ \"{}\" == \"\" }};", "x".repeat(70_000));
    assert!(faults(&[source(&wide)]).starts_with("a.cedar:1:1: the policy is too long"));
    let many: Vec<_> =
        (0..=crate::load::MAX_SOURCES).map(|n| Source { name: n.to_string(), text: String::new() }).collect();
    assert_eq!(faults(&many), "policies: there are 4097 sources; load at most 4096");
}

#[test]
fn letters_that_hide_what_a_rule_says_are_refused() {
    let told =
        faults(&[source("permit (principal, action, resource is Tool) when { resource.name == \"a\u{202e}b\" };")]);
    assert!(told.starts_with("a.cedar:1:") && told != "loaded", "{told}");
}

#[test]
fn a_fault_keeps_nothing_in_force() {
    let texts =
        [source("permit (principal, action, resource);"), Source { name: "b".to_owned(), text: "no".to_owned() }];
    assert!(matches!(Policies::load(&texts), Err(Error::Refused(_))));
}

#[test]
fn deeply_nested_policies_are_refused_and_nothing_falls() {
    let when =
        |condition: &str| faults(&[source(&format!("permit (principal, action, resource) when {{ {condition} }};"))]);
    for (before, middle, after) in [
        ("(", "true", ")"),
        ("!", "true", ""),
        ("-", "1 == 1", ""),
        ("[", "", "]"),
        ("{a: ", "1", "}"),
        ("if true then true else ", "true", ""),
        ("true && ", "true", ""),
        ("true || ", "true", ""),
        ("1 + ", "1 == 1", ""),
        ("", "context", ".labels"),
        ("", "context", " has x"),
        ("", "true", " == true"),
    ] {
        let told = when(&format!("{}{middle}{}", before.repeat(5_000), after.repeat(5_000)));
        assert_ne!(told, "loaded", "{before} {after}");
    }
}

/// On the smallest stack that any thread of ours has: a policy at the bounds is loaded and evaluated.
#[test]
fn policies_at_the_bounds_of_depth_are_evaluated() {
    for (before, middle, after, times) in [
        ("(", "true", ")", 22),
        ("if true then (", "true", ") else false", 11),
        ("true && ", "true", "", 198),
        ("true || ", "true", "", 198),
        ("1 + ", "1 > 1", "", 198),
        (&format!("{}true", "(".repeat(22)), &" && true".repeat(199), &")".repeat(22), 1),
        ("(1 + ", "1", ") > 1", 1),
    ] {
        let condition = format!("{}{middle}{}", before.repeat(times), after.repeat(times));
        let policies = load(&format!("permit (principal, action, resource) when {{ {condition} }};"));
        assert_eq!(kind(&policies, &call(mcp())), crate::VerdictKind::Allow, "{before}");
    }
}

#[test]
fn the_version_is_of_what_decides() {
    let text = "@id(\"a\") permit (principal, action, resource);\n@id(\"b\") forbid (principal, action, resource) when { context.approved };";
    let version = load(text).version().to_owned();
    assert_eq!(version.len(), 64);
    assert_eq!(load(text).version(), version, "the same again");
    let spaced = text.replace("permit (", "// words\npermit\n (");
    assert_eq!(load(&spaced).version(), version, "words and blanks");
    let (first, second) = text.split_once('\n').unwrap();
    let split = [second, first].map(|text| Source { name: text.len().to_string(), text: text.to_owned() });
    assert_eq!(Policies::load(&split).unwrap().version(), version, "order and files");
    for other in [
        text.replace("permit", "forbid"),
        text.replace("\"a\"", "\"c\""),
        text.replace("context.approved", "!context.approved"),
        text.replace("@id(\"a\")", "@id(\"a\") @reason(\"x\")"),
        text.replace("@id(\"a\")", "@id(\"a\") @verdict(\"ask\")"),
        text.replace("@id(\"a\")", "@id(\"a\") @tenant(\"x\")"),
        first.to_owned(),
    ] {
        assert_ne!(load(&other).version(), version, "{other}");
    }
}

/// Approvals are bound to the version: when this fails, every open approval is asked again after an upgrade. Change it
/// only together with what decides.
#[test]
fn the_standard_policy_has_a_known_version() {
    assert_eq!(Policies::standard().version(), "ba92c4814dd84bad7a85196eeae2a0660619192dcaf8e6b6e4b0b3b995624f7a");
    assert!(!Policies::standard().is_empty());
}
