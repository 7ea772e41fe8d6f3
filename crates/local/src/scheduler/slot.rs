//! A sequence in the model's memory: free, or at work for one inference. A free one keeps what it holds, so that the
//! next turn of the same session need not read its prompt again.

use llama_cpp_2::token::LlamaToken;
use mainstay_vocabulary::{
    Usage,
    inference::{Chunk, Delta, Finished},
};

use super::Ticket;
use crate::{model::Plan, output::Ending};

/// One sequence.
pub(super) struct Slot {
    /// llama.cpp's number for it.
    pub(super) id: i32,
    /// The tokens whose keys and values are in memory, in order.
    pub(super) held: Vec<LlamaToken>,
    /// When it was last taken, counted in inferences.
    pub(super) used: u64,
    pub(super) running: Option<Running>,
}

/// An inference at work.
pub(super) struct Running {
    pub(super) ticket: Box<Ticket>,
    pub(super) plan: Plan,
    /// Prompt tokens that were in memory already.
    pub(super) cached: u64,
    /// Tokens written.
    pub(super) written: u64,
    /// The last of them, which the model has not read yet.
    pub(super) next: Option<LlamaToken>,
    /// Where the step's result for this inference is.
    pub(super) logits: Option<i32>,
}

impl Slot {
    pub(super) const fn new(id: i32) -> Self {
        Self { id, held: Vec::new(), used: 0, running: None }
    }

    /// How many of a prompt's first tokens are in memory. The last one is always read again: the model's answer to it
    /// is what the output begins with.
    pub(super) fn shared(&self, prompt: &[LlamaToken]) -> usize {
        let most = prompt.len().saturating_sub(1);
        self.held.iter().zip(&prompt[..most]).take_while(|(held, asked)| held == asked).count()
    }
}

/// The free slot that serves a prompt best: one that keeps at least half of what it holds, else the one that was unused
/// for longest (a session's memory is not given up for a common beginning).
pub(super) fn choose(slots: &[Slot], prompt: &[LlamaToken]) -> Option<usize> {
    let free = || slots.iter().enumerate().filter(|(_, slot)| slot.running.is_none());
    let keeps = free().filter(|(_, slot)| slot.shared(prompt) * 2 > slot.held.len());
    let best = keeps.max_by_key(|(_, slot)| slot.shared(prompt));
    best.or_else(|| free().min_by_key(|(_, slot)| slot.used)).map(|(index, _)| index)
}

impl Running {
    pub(super) fn show(&self, deltas: Vec<Delta>) {
        for delta in deltas {
            // Fails only if nobody reads: the channel has room for all that a context can hold.
            let _ = self.ticket.out.try_send(Ok(Chunk::Delta(delta)));
        }
    }

    /// Closes what is open and says how it went.
    pub(super) fn finish(mut self, ending: Ending, model: &str) {
        let mut deltas = Vec::new();
        let stop = self.plan.output.finish(ending, &mut deltas);
        self.show(deltas);
        let usage = Usage {
            input: self.plan.prompt.len() as u64,
            cached_input: self.cached,
            output: self.written,
            ..Usage::default()
        };
        let reported = mainstay_vocabulary::Object::new();
        let finished = Finished { stop, usage: Some(usage), model: Some(model.to_owned()), reported };
        let _ = self.ticket.out.try_send(Ok(Chunk::Finished(finished)));
    }
}

#[cfg(test)]
mod tests {
    use llama_cpp_2::token::LlamaToken;

    use super::{Slot, choose};

    fn tokens(tokens: &[i32]) -> Vec<LlamaToken> {
        tokens.iter().map(|&token| LlamaToken(token)).collect()
    }

    fn slot(id: i32, held: &[i32], used: u64) -> Slot {
        Slot { held: tokens(held), used, ..Slot::new(id) }
    }

    #[test]
    fn a_session_finds_its_own_memory() {
        let slots = [slot(0, &[1, 2, 3, 4], 9), slot(1, &[1, 2, 8, 9], 8), slot(2, &[], 0)];
        assert_eq!(choose(&slots, &tokens(&[1, 2, 8, 9, 5])), Some(1));
    }

    #[test]
    fn a_common_beginning_does_not_cost_another_session_its_memory() {
        let slots = [slot(0, &[1, 2, 3, 4, 5, 6], 9), slot(1, &[7, 7, 7], 1)];
        assert_eq!(choose(&slots, &tokens(&[1, 2, 9, 9])), Some(1), "the one unused for longest");
    }

    #[test]
    fn the_last_token_is_read_again() {
        assert_eq!(slot(0, &[1, 2, 3], 0).shared(&tokens(&[1, 2, 3])), 2);
        assert_eq!(slot(0, &[1, 2, 3], 0).shared(&tokens(&[1])), 0);
    }
}
