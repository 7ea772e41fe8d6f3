//! The in-memory model.

use std::sync::Arc;

use mainstay_testkit::store::{Memory, conformance};

#[test]
fn the_model_conforms() {
    for (name, check) in conformance::ALL {
        println!("{name}");
        check(&Memory::default());
    }
}

#[test]
fn the_model_conforms_as_a_whole() {
    for (name, check) in conformance::WHOLE {
        println!("{name}");
        check(&|fill| {
            let store = Memory::default();
            fill(&store);
            Arc::new(store)
        });
    }
}
