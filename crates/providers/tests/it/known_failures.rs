//! What this field gets wrong again and again, each with a golden file of that name for every format where it can
//! happen. `cuts_do_not_matter_…` covers the one that is left: frames cut anywhere.

use std::path::PathBuf;

const CHAT: &str = "openai_chat/";
const RESPONSES: &str = "openai_responses/";

/// The failure, the kind of its golden files, and the formats where it can happen. Chat Completions has no signatures.
const FAILURES: [(&str, &str, &[&str]); 11] = [
    ("tool_arguments_only_at_the_end", "decode", &[CHAT, RESPONSES]),
    ("first_delta_lost_at_a_block_change", "decode", &[CHAT, RESPONSES]),
    ("wrong_content_index", "decode", &[CHAT, RESPONSES]),
    ("empty_deltas", "decode", &[CHAT, RESPONSES]),
    ("null_cached_tokens", "decode", &[CHAT, RESPONSES]),
    ("error_inside_a_200_stream", "decode", &[CHAT, RESPONSES]),
    ("usage_only_in_the_last_chunk", "decode", &[CHAT, RESPONSES]),
    ("signatures_on_the_wrong_delta", "decode", &[RESPONSES]),
    ("same_role_messages_to_coalesce", "encode", &[CHAT, RESPONSES]),
    ("tool_choice_none", "encode", &[CHAT, RESPONSES]),
    ("cache_markers_dropped", "encode", &[CHAT, RESPONSES]),
];

#[test]
fn each_known_failure_has_its_golden_file() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for (failure, kind, formats) in FAILURES {
        for format in formats {
            let extension = if kind == "decode" { "sse" } else { "json" };
            let path = golden.join(format!("{format}{kind}/{failure}.{extension}"));
            assert!(path.exists(), "{}", path.display());
        }
    }
}
