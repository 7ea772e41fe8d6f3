//! The in-memory model.

use mainstay_testkit::store::{Memory, conformance};

#[test]
fn the_model_conforms() {
    for (name, check) in conformance::ALL {
        println!("{name}");
        check(&Memory::default());
    }
}
