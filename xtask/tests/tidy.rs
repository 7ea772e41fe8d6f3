//! The tree obeys its own rules: what `cargo xtask tidy` runs, as a test.

#[test]
fn the_tree_is_tidy() {
    let found: Vec<String> = xtask::tidy::run()
        .expect("the tree can be read")
        .into_iter()
        .flat_map(|(rule, findings)| findings.into_iter().map(move |finding| format!("{rule}: {finding}")))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}
