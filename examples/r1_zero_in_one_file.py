"""R1-Zero in one file: a tiny base model learns, from rewards alone, to think before it answers.

    python examples/r1_zero_in_one_file.py [--seed 0] [--pretrain-steps 300] [--rl-steps 40]

Read from top to bottom: a task, a toy web and a base model that has read it, the reward, the loss, the loop.
Nobody shows the model a good answer during RL. It is told only whether its answer was right and its tags were in
order, and finds out by itself that the rare habit of going step by step is the one that pays. With seed 0, held-out
accuracy went from 0.29 to 0.96, format from 0.61 to 1.00, mean length from 16 to 32 words.

Simpler than the package: one task, one language, whole words for tokens, no files and no resume; prompts are padded
and computed once per completion instead of shared by the group; the whole batch decodes until its last member ends;
fp32; the reference policy is never refreshed; held-out figures carry no intervals.
"""

import argparse
import copy
import random
import re
import time
import zlib

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.optim import AdamW, Optimizer
from transformers import Qwen2Config, Qwen2ForCausalLM

# ------------------------------------------------------------------ 1. The task: three cards are moved k times
CARDS = ("A", "B", "C")
MOVES = {"swap": (1, 0, 2), "roll": (1, 2, 0), "flip": (2, 1, 0)}  # place i takes the card from place MOVES[move][i]


def draw_question(rng: random.Random, held_out: bool = False) -> str:
    """For example ``cards A B C 1 swap 2 flip ?``. A hash of its text says on which side of the wall a question is,
    so neither the web nor RL can ever hold a question of the exam."""
    while True:
        moves = rng.choices(tuple(MOVES), k=rng.randint(1, 6))
        numbered = " ".join(f"{i} {move}" for i, move in enumerate(moves, 1))
        question = f"cards {' '.join(rng.sample(CARDS, 3))} {numbered} ?"
        if (zlib.crc32(question.encode()) % 8 == 0) == held_out:
            return question


def solve(question: str) -> tuple[str, str]:
    """The careful way, such as ``A B C 1 swap gives B A C 2 flip gives C A B``, and the gold answer ``C A B``."""
    words = question.split()
    cards = steps = words[1:4]
    for i, move in enumerate(words[5:-1:2], 1):
        cards = [cards[place] for place in MOVES[move]]
        steps = [*steps, str(i), move, "gives", *cards]
    return " ".join(steps), " ".join(cards)


# ------------------------------------------------------------------ 2. The toy web and a base model that has read it
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
VOCABULARY = ("<pad>", "<end>", *TAGS, *CARDS, *MOVES, *"123456", "cards", "?", "gives", "i", "guess", "hmm", "easy")
TOKEN_ID = {word: i for i, word in enumerate(VOCABULARY)}
PAD, END = TOKEN_ID["<pad>"], TOKEN_ID["<end>"]


def web_text(rng: random.Random) -> str:
    """A question as the web answers it: 70 % guess (right 1 time in 6), the rest go step by step, 40 % forget tags."""
    question = draw_question(rng)
    thought, answer = solve(question)
    if rng.random() < 0.7:
        thought, answer = rng.choice(("i guess", "hmm", "easy")), " ".join(rng.sample(CARDS, 3))
    words = f"{question} <think> {thought} </think> <answer> {answer} </answer> <end>".split()
    if rng.random() < 0.4:
        words = [word for word in words if word not in TAGS or rng.random() < 0.5]
    return " ".join(words)


def pad(texts: list[str], side: str) -> tuple[Tensor, Tensor]:
    """Token ids and mask (1 for a token, 0 for padding), each (B, T)."""
    rows = [torch.tensor([TOKEN_ID[word] for word in text.split()]) for text in texts]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD, padding_side=side)
    return ids, (ids != PAD).long()


def positions(mask: Tensor) -> Tensor:
    """Padding is hidden by the attention mask and takes up no position: the first real token is always at 0, as it was
    in pre-training. So a text means the same to the model wherever it stands in the batch. (B, T)"""
    return (mask.cumsum(1) - 1).clamp(min=0)


def new_model() -> Qwen2ForCausalLM:
    """0.7 M parameters. For texts so short and a net so narrow, a smaller rotary base and a wider start than usual."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(VOCABULARY), hidden_size=128, intermediate_size=256, num_hidden_layers=4,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=END, pad_token_id=PAD, initializer_range=0.06,
            rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        )
    )  # fmt: skip


def pretrain(model: Qwen2ForCausalLM, num_steps: int, rng: random.Random) -> None:
    """Next-word prediction on the web, 128 texts a step; the rate falls linearly to 0."""
    optimizer = AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: min((i + 1) / 30, 1 - i / num_steps))
    for step in range(1, num_steps + 1):
        ids, mask = pad([web_text(rng) for _ in range(128)], side="right")
        logits = model(input_ids=ids, attention_mask=mask, position_ids=positions(mask)).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=PAD)
        update(model, optimizer, loss)
        schedule.step()
        if step % 50 == 0 or step == num_steps:
            print(f"pretrain {step:4d}  loss {loss.item():.3f}", flush=True)


def update(model: Qwen2ForCausalLM, optimizer: Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


# ------------------------------------------------------------------ 3. Sampling, and the same tokens read again
NUM_PROMPTS, GROUP_SIZE, MAX_TOKENS = 32, 16, 48


@torch.no_grad()
def sample(model: Qwen2ForCausalLM, questions: list[str]) -> tuple[Tensor, Tensor, Tensor]:
    """One completion per question at temperature 1.

    Returns ids and mask of prompt and completion together, both (B, P + T), and the log-probability of each completion
    token as it was drawn, (B, T). Prompts are padded on the left, so that all completions start in column P, and what
    follows a completion's <end> is padding too. The update reads this very rectangle again.
    """
    ids, mask = pad(questions, side="left")
    inputs, cache, logprobs = ids, None, []
    is_open = torch.ones(len(questions), 1, dtype=torch.bool)
    while len(logprobs) < MAX_TOKENS and is_open.any():
        places = positions(mask)[:, -inputs.shape[1] :]
        out = model(input_ids=inputs, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True)
        cache, distribution = out.past_key_values, out.logits[:, -1].log_softmax(-1)  # (B, V)
        inputs = torch.multinomial(distribution.exp(), 1)  # (B, 1)
        logprobs.append(distribution.gather(1, inputs))
        inputs = inputs.masked_fill(~is_open, PAD)
        ids, mask = torch.cat((ids, inputs), 1), torch.cat((mask, is_open.long()), 1)
        is_open = is_open & (inputs != END)
    return ids, mask, torch.cat(logprobs, 1)


def completion_logprobs(model: Qwen2ForCausalLM, ids: Tensor, mask: Tensor, num_tokens: int) -> Tensor:
    """Log-probability of each of the last ``num_tokens`` tokens in one full forward pass, (B, T)."""
    logits = model(input_ids=ids, attention_mask=mask, position_ids=positions(mask)).logits[:, -num_tokens - 1 : -1]
    return logits.log_softmax(-1).gather(2, ids[:, -num_tokens:, None]).squeeze(2)


# ------------------------------------------------------------------ 4. Reward, advantage, loss
CLIP_LOW, CLIP_HIGH, KL_COEF = 0.2, 0.28, 0.001


def rewards_of(completion: str, gold: str) -> tuple[float, float]:
    """Accuracy and format, each 0 or 1; their sum is the reward (DeepSeek-R1, arXiv:2501.12948, section 2.2.2).

    An answer counts only after a closed thought. Format asks for exactly one ordered pair of each tag, nothing outside
    them, and a thought that is not empty.
    """
    answers = re.findall(r"<answer> (.*?) </answer>", completion.partition("</think>")[2])
    has_format = re.fullmatch(r"<think> .+ </think> <answer> .+ </answer>", completion)
    has_one_of_each = all(completion.count(tag) == 1 for tag in TAGS)
    return float(answers == [gold]), float(has_format is not None and has_one_of_each)


def group_advantages(rewards: Tensor) -> Tensor:
    """A_i = (r_i - mean) / std over the G completions of one question (DeepSeek-R1, equation 3). (P, G) to (P, G).

    The group is its own baseline: no value network. One whose members all got the same has nothing to compare: A = 0.
    """
    centered = rewards - rewards.mean(1, keepdim=True)
    return centered / rewards.std(1, keepdim=True, correction=0).clamp(min=1e-6)


def grpo_loss(
    policy_logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor, advantages: Tensor, mask: Tensor
) -> Tensor:
    """GRPO (DeepSeekMath, arXiv:2402.03300, equation 3; DeepSeek-R1, equation 1). All (B, T) but advantages, (B, 1).

    Departs from both in two points, taken from DAPO (arXiv:2503.14476): the upper clip bound is the wider one, and the
    mean is over all tokens of the batch instead of over each completion first.
    """
    ratio = (policy_logprobs - old_logprobs).exp()
    clipped_ratio = ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    surrogate = torch.minimum(ratio * advantages, clipped_ratio * advantages)
    log_x = ref_logprobs - policy_logprobs
    kl = log_x.exp() - log_x - 1  # the k3 estimator: DeepSeekMath, equation 4; DeepSeek-R1, equation 2
    return -((surrogate - KL_COEF * kl) * mask).sum() / mask.sum()


# ------------------------------------------------------------------ 5. The loop: sample, reward, compare, update
def grade(questions: list[str], ids: Tensor, mask: Tensor, logprobs: Tensor) -> tuple[list[str], Tensor, str]:
    """Of what ``sample`` returned: the completions as text, their rewards (B, 2), and a line of figures."""
    num_tokens = logprobs.shape[1]
    words = [[VOCABULARY[i] for i in row] for row in ids[:, -num_tokens:].tolist()]
    texts = [" ".join(row).partition("<end>")[0].strip() for row in words]
    rewards = torch.tensor([rewards_of(text, solve(q)[1]) for text, q in zip(texts, questions, strict=True)])
    (accuracy, form), length = rewards.mean(0), mask[:, -num_tokens:].sum(1).float().mean()
    return texts, rewards, f"accuracy {accuracy:.2f}  format {form:.2f}  mean length {length:4.1f}"


def rl_step(policy: Qwen2ForCausalLM, reference: Qwen2ForCausalLM, optimizer: Optimizer, rng: random.Random) -> str:
    """Sample G completions of each question, reward them, and make two updates, each from half of the groups."""
    drawn = [draw_question(rng) for _ in range(NUM_PROMPTS)]
    questions = [q for q in drawn for _ in range(GROUP_SIZE)]
    batch = sample(policy, questions)
    _, rewards, line = grade(questions, *batch)
    advantages = group_advantages(rewards.sum(1).view(NUM_PROMPTS, GROUP_SIZE))
    groups = [i for i in range(NUM_PROMPTS) if advantages[i].any()]  # without variance there is nothing to learn
    for half in filter(None, (groups[::2], groups[1::2])):
        ids, mask, old_logprobs = (x.unflatten(0, (NUM_PROMPTS, GROUP_SIZE))[half].flatten(0, 1) for x in batch)
        num_tokens = old_logprobs.shape[1]
        with torch.no_grad():
            ref_logprobs = completion_logprobs(reference, ids, mask, num_tokens)
        policy_logprobs = completion_logprobs(policy, ids, mask, num_tokens)
        advantage, is_token = advantages[half].view(-1, 1), mask[:, -num_tokens:]
        update(policy, optimizer, grpo_loss(policy_logprobs, old_logprobs, ref_logprobs, advantage, is_token))
    return f"{line}  groups used {len(groups):2d}/{NUM_PROMPTS}"


def main() -> None:
    parser = argparse.ArgumentParser(description="DeepSeek-R1-Zero's recipe on a toy task, in minutes on a CPU.")
    for name, default in (("--seed", 0), ("--pretrain-steps", 300), ("--rl-steps", 40)):
        parser.add_argument(name, type=int, default=default)
    args = parser.parse_args()
    start = time.perf_counter()
    rng = random.Random(args.seed)
    torch.manual_seed(args.seed)
    policy = new_model()
    pretrain(policy, args.pretrain_steps, rng)
    exam_rng = random.Random("exam")
    exam = [draw_question(exam_rng, held_out=True) for _ in range(256)]
    before, _, line_before = grade(exam, *sample(policy, exam))
    reference = copy.deepcopy(policy)
    optimizer = AdamW(policy.parameters(), lr=3e-4, betas=(0.9, 0.95), weight_decay=0.0)
    for step in range(1, args.rl_steps + 1):
        line = rl_step(policy, reference, optimizer, rng)
        if step % 5 == 0 or step in (1, args.rl_steps):
            print(f"rl {step:3d}  {line}", flush=True)
    after, _, line_after = grade(exam, *sample(policy, exam))
    print(f"\n{len(exam)} held-out questions after {time.perf_counter() - start:.0f} s")
    print(f"  before  {line_before}\n  after   {line_after}")
    for question, old, new in list(zip(exam, before, after, strict=True))[:5]:
        print(f"\n{question}  (gold {solve(question)[1]})\n  before  {old}\n  after   {new}")


if __name__ == "__main__":
    main()
