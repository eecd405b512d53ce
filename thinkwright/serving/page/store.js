// Conversations and settings in this browser's local storage, one key each; the oldest conversations make room.

import { openStorage } from "./dom.js";

const CHAT = "thinkwright.chat.";
const SETTINGS = "thinkwright.settings";
export const MAX_CHARACTERS = 4_000_000; // of all conversations; browsers keep some 5 million

const storage = openStorage(() => localStorage);
const keys = () => Array.from({ length: storage.length }, (_, i) => storage.key(i)).filter((key) => key.startsWith(CHAT));

// All conversations, the newest first; what cannot be read is passed over.
export function conversations() {
  const found = keys().map((key) => parsed(storage.getItem(key)));
  return found.filter((one) => Array.isArray(one?.turns)).sort((one, other) => other.updated - one.updated);
}

export const conversation = (id) => conversations().find((one) => one.id === id) ?? null;

// Keeps it, at the cost of the oldest others. False if it is too long to be kept at all, or nothing can be.
export function keep(conversation) {
  const text = JSON.stringify(conversation);
  const key = CHAT + conversation.id;
  if (text.length > MAX_CHARACTERS) return false;
  const others = conversations().filter((one) => one.id !== conversation.id);
  const sizeOf = (one) => storage.getItem(CHAT + one.id).length;
  let room = MAX_CHARACTERS - text.length - others.reduce((sum, one) => sum + sizeOf(one), 0);
  for (;;) {
    if (room >= 0) {
      try {
        storage.setItem(key, text);
        return true;
      } catch {
        if (!others.length) return false; // full of other things, or storage is off
      }
    }
    const oldest = others.pop();
    room += sizeOf(oldest);
    forget(oldest.id);
  }
}

export const forget = (id) => storage.removeItem(CHAT + id);

export function readSettings() {
  return parsed(storage.getItem(SETTINGS)) ?? {};
}

export function keepSettings(settings) {
  try {
    storage.setItem(SETTINGS, JSON.stringify(settings));
  } catch {
    // They hold until the page is closed.
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
