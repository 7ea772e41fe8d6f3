//! A loaded model at work, step by step. One step: fill a batch, let llama.cpp compute, choose one token for each
//! inference that has read its prompt.

use std::num::NonZeroU32;

use llama_cpp_2::{
    context::{LlamaContext, params::LlamaContextParams},
    llama_batch::LlamaBatch,
    token::LlamaToken,
};
use llguidance::Matcher;
use mainstay_vocabulary::inference::{Failure, FailureKind};

use super::{
    Queue, Setup,
    slot::{Running, Slot, choose},
};
use crate::{
    model::{Model, backend},
    output::Ending,
    thread,
};

/// Prompt tokens that a step reads when nobody writes; also how soon a cancelled inference is noticed. From 64 on
/// llama.cpp computes attention another way, with other rounding: below it a text does not depend on how its prompt
/// was cut, on what was in memory already, or on who else was served.
const READ_ALONE: usize = 63;

/// Prompt tokens that a step reads beside inferences that write, whose readers wait for it.
const READ_BESIDE: usize = 32;

/// `LLAMA_FLASH_ATTN_TYPE_ENABLED`: attention that does not depend on how many tokens are computed at once.
const FLASH_ATTENTION: i32 = 1;

/// llama.cpp rounds contexts up to this.
const CONTEXT_GRAIN: u32 = 256;

/// A model at work.
pub(super) struct Run<'m> {
    setup: &'m Setup,
    model: &'m Model,
    context: LlamaContext<'m>,
    batch: LlamaBatch<'static>,
    slots: Vec<Slot>,
    /// Inferences begun so far.
    begun: u64,
}

impl<'m> Run<'m> {
    /// Takes the memory that the sequences need.
    pub(super) fn new(setup: &'m Setup, model: &'m Model) -> Result<Self, String> {
        let all = setup.context_tokens.next_multiple_of(CONTEXT_GRAIN).saturating_mul(setup.parallel);
        let batch = READ_ALONE.max(READ_BESIDE + setup.parallel as usize);
        let params = LlamaContextParams::default()
            .with_n_ctx(NonZeroU32::new(all))
            .with_n_seq_max(setup.parallel)
            .with_n_batch(batch as u32)
            .with_n_ubatch(READ_ALONE as u32)
            // Not left to llama.cpp, for the same reason.
            .with_flash_attention_policy(FLASH_ATTENTION)
            .with_n_threads(setup.threads)
            .with_n_threads_batch(setup.threads)
            // A sequence is computed the same whatever the others hold.
            .with_kv_unified(false);
        let context = model.llama.new_context(backend()?, params);
        let context = context.map_err(|error| format!("no memory for {all} tokens of context: {error}"))?;
        let slots = (0..setup.parallel.cast_signed()).map(Slot::new).collect();
        Ok(Self { setup, model, context, batch: LlamaBatch::new(batch, 1), slots, begun: 0 })
    }

    /// Works until the engine goes.
    pub(super) fn serve(&mut self, queue: &mut Queue) {
        while queue.take_in(self.slots.iter().all(|slot| slot.running.is_none())) {
            queue.count(self.model);
            for slot in &mut self.slots {
                slot.running.take_if(|running| running.ticket.out.is_closed());
            }
            self.admit(queue);
            self.step();
        }
    }

    /// Gives free slots to those who wait.
    fn admit(&mut self, queue: &mut Queue) {
        while self.slots.iter().any(|slot| slot.running.is_none())
            && let Some(ticket) = queue.pop()
        {
            let plan = match self.model.plan(&ticket.request, self.setup.context_tokens as usize) {
                Ok(plan) => plan,
                Err(failure) => {
                    ticket.fail(failure);
                    continue;
                }
            };
            let Some(index) = choose(&self.slots, &plan.prompt) else { return };
            let slot = &mut self.slots[index];
            let shared = keep(&mut self.context, slot, slot.shared(&plan.prompt));
            self.begun += 1;
            slot.used = self.begun;
            let running = Running { ticket, plan, cached: shared as u64, written: 0, next: None, logits: None };
            slot.running = Some(running);
        }
    }

    fn step(&mut self) {
        self.fill();
        if self.batch.n_tokens() == 0 {
            return;
        }
        let computed = {
            let _turn = thread::compute_turn();
            self.context.decode(&mut self.batch)
        };
        if let Err(error) = computed {
            self.fail_all(&format!("llama.cpp failed: {error}"));
            return;
        }
        for index in 0..self.slots.len() {
            self.write(index);
        }
    }

    /// What each inference gives to the step: the token it wrote last, or a stretch of its prompt.
    fn fill(&mut self) {
        self.batch.clear();
        let running = || self.slots.iter().filter_map(|slot| slot.running.as_ref());
        let reading = running().filter(|running| running.next.is_none()).count();
        let most = if running().count() > reading { READ_BESIDE } else { READ_ALONE };
        let share = most / reading.clamp(1, most);
        let mut room = most;
        for slot in &mut self.slots {
            let Some(running) = &mut slot.running else { continue };
            let at = slot.held.len();
            if let Some(token) = running.next.take() {
                running.logits = Some(self.batch.n_tokens());
                add(&mut self.batch, slot.id, token, at, true);
                slot.held.push(token);
                continue;
            }
            let prompt = &running.plan.prompt;
            let end = prompt.len().min(at + share.min(room));
            for (place, &token) in (at..end).zip(&prompt[at..end]) {
                running.logits = (place + 1 == prompt.len()).then_some(self.batch.n_tokens());
                add(&mut self.batch, slot.id, token, place, running.logits.is_some());
            }
            room -= end - at;
            slot.held.extend(&prompt[at..end]);
        }
    }

    /// Chooses an inference's next token, if the step had a result for it.
    fn write(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let Some(mut running) = slot.running.take_if(|running| running.logits.is_some()) else { return };
        let logits = self.context.get_logits_ith(running.logits.take().unwrap_or_default());
        let token = match next(self.model, &mut running, logits) {
            Ok(token) => token,
            Err(message) => return running.ticket.fail(broken(message)),
        };
        running.written += 1;
        match end_of(self.model, &mut running, token) {
            Some(ending) => running.finish(ending, &self.setup.name),
            None => {
                running.next = Some(token);
                slot.running = Some(running);
            }
        }
    }

    /// After a failed step nobody knows what is in memory.
    fn fail_all(&mut self, message: &str) {
        self.context.clear_kv_cache();
        for slot in &mut self.slots {
            slot.held.clear();
            if let Some(running) = slot.running.take() {
                running.ticket.fail(broken(message.to_owned()));
            }
        }
    }
}

/// Samples within the grammar, and tells the grammar.
fn next(model: &Model, running: &mut Running, logits: &[f32]) -> Result<LlamaToken, String> {
    let failed = |error| format!("the grammar failed: {error}");
    let vocabulary = &model.vocabulary;
    let Some(matcher) = &mut running.plan.matcher else {
        let token = running.plan.sampler.next(logits, |token| vocabulary.may_write(token));
        return token.map(|token| LlamaToken(token.cast_signed())).ok_or_else(|| "no token may follow".to_owned());
    };
    let mask = matcher.compute_mask_or_eos().map_err(failed)?;
    let token = running.plan.sampler.next(logits, |token| mask.is_allowed(token) && vocabulary.may_write(token));
    let token = token.ok_or("no token may follow")?;
    let written = LlamaToken(token.cast_signed());
    if !vocabulary.is_end(written) {
        matcher.consume_token(token).map_err(failed)?;
    }
    Ok(written)
}

/// Shows what a token stands for; why the output ends with it, if it does.
fn end_of(model: &Model, running: &mut Running, token: LlamaToken) -> Option<Ending> {
    if model.vocabulary.is_end(token) {
        return Some(Ending::Whole);
    }
    let mut deltas = Vec::new();
    let bytes = model.llama.vocab().token_to_piece(token, false, None);
    let ending = running.plan.output.push(&bytes, &mut deltas);
    running.show(deltas);
    let is_whole = running.plan.matcher.as_ref().is_some_and(Matcher::is_stopped);
    let is_cut = running.written >= running.plan.limit;
    ending.or(is_whole.then_some(Ending::Whole)).or(is_cut.then_some(Ending::Cut))
}

fn broken(message: String) -> Failure {
    Failure { kind: FailureKind::Broken, message, retry_after_ms: None }
}

/// Forgets what a slot holds beyond its first tokens. A model that cannot forget a part forgets all.
fn keep(context: &mut LlamaContext<'_>, slot: &mut Slot, shared: usize) -> usize {
    let shared = match context.kv_cache_seq_rm(slot.id, Some(shared as u32), None) {
        Ok(()) => shared,
        Err(_) => {
            // Removing a whole sequence never fails.
            let _ = context.kv_cache_seq_rm(slot.id, None, None);
            0
        }
    };
    slot.held.truncate(shared);
    shared
}

fn add(batch: &mut LlamaBatch<'_>, sequence: i32, token: LlamaToken, place: usize, wants_logits: bool) {
    // `fill` never adds more than the batch was made for.
    let added = batch.add(token, place as i32, &[sequence], wants_logits);
    debug_assert!(added.is_ok(), "a batch is too small");
}
