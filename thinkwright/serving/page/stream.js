// A reply as it streams: server-sent events over fetch, read into a reply's record.

import { request } from "./api.js";

const DONE = "[DONE]";

// A reply's record, as it is kept. `finish`: null while it runs, then "stop", "length", "stopped" (by the reader) or
// "broken"; `error`: {status, message} if something went wrong.
export const newReply = (model, settings) => ({
  model, settings, thought: "", answer: "", finish: null, error: null, thoughtSeconds: 0, seconds: 0, usage: null,
});

// What is asked of the server.
export function requestBody(model, messages, { thinking, budget, temperature, maxTokens }) {
  const body = { model, messages, stream: true, stream_options: { include_usage: true } };
  body.chat_template_kwargs = { enable_thinking: thinking };
  if (thinking && budget !== null) body.thinking_token_budget = budget;
  if (temperature !== null) body.temperature = temperature;
  if (maxTokens !== null) body.max_tokens = maxTokens;
  return body;
}

// Fills the record; calls `onPart({thought, answer})` with each new piece. Never throws: what goes wrong is recorded,
// and what came before it stays.
export async function streamReply(reply, messages, onPart, signal) {
  const clock = { sent: performance.now(), thought: null };
  try {
    const body = requestBody(reply.model, messages, reply.settings);
    const response = await request("v1/chat/completions", { body, signal });
    for await (const data of events(response.body)) {
      if (data === DONE) break;
      take(reply, JSON.parse(data), clock, onPart);
    }
    if (reply.finish === null) fail(reply, 0, "The connection broke; what came is kept.");
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) reply.finish ??= "stopped";
    else if (error instanceof TypeError) fail(reply, 0, "The connection broke; what came is kept.");
    else fail(reply, error.status ?? 0, error.message);
  }
  if (!reply.answer) endThought(reply, clock);
  reply.seconds = (performance.now() - clock.sent) / 1000;
}

function take(reply, chunk, clock, onPart) {
  if (chunk.error) throw Object.assign(new Error(chunk.error.message), { status: chunk.error.status });
  if (chunk.usage) reply.usage = countsOf(chunk.usage);
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const thought = choice.delta.reasoning_content ?? choice.delta.reasoning ?? "";
  const answer = choice.delta.content ?? "";
  if (thought) clock.thought ??= performance.now();
  if (answer && !reply.answer) endThought(reply, clock);
  reply.thought += thought;
  reply.answer += answer;
  if (choice.finish_reason) reply.finish = choice.finish_reason;
  if (thought || answer) onPart({ thought, answer });
}

function endThought(reply, clock) {
  if (clock.thought !== null) reply.thoughtSeconds = (performance.now() - clock.thought) / 1000;
}

function countsOf(usage) {
  return {
    prompt: usage.prompt_tokens,
    completion: usage.completion_tokens,
    thought: usage.completion_tokens_details?.reasoning_tokens ?? null,
  };
}

function fail(reply, status, message) {
  reply.finish = "broken";
  reply.error = { status, message };
}

// The data of each event of a stream; comments (a server's pings) are passed over.
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  let data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (held + value).split(/\r?\n/);
      held = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line === "" && data.length) {
          yield data.join("\n");
          data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have broken already
  }
}
