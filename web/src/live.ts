/** Changes on the agent, from its one stream of events, and values that are loaded again after a change. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { AgentError, BASE, type Job } from "./api.ts";

export interface Change {
  type: string;
  job?: Job;
  job_id?: string;
  release?: string;
  what?: string;
}

type Listener = (change: Change) => void;

const listeners = new Set<Listener>();
let source: EventSource | null = null;
let retry = 0;
export const connection = new EventTarget();
export let isConnected = false;

/** Follow the agent's events; after a broken connection, connect again and reload everything. */
export function connect(): void {
  clearTimeout(retry);
  source?.close();
  source = new EventSource(new URL("events/", BASE), { withCredentials: true });
  source.onopen = () => {
    setConnected(true);
    publish({ type: "reload" });
  };
  source.onmessage = (message) => publish(JSON.parse(message.data) as Change);
  source.onerror = () => {
    setConnected(false);
    source?.close();
    retry = setTimeout(connect, 2000);
  };
}

/** Stop following. */
export function disconnect(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
}

function setConnected(value: boolean): void {
  isConnected = value;
  connection.dispatchEvent(new Event("change"));
}

function publish(change: Change): void {
  for (const listener of listeners) listener(change);
}

/** Call a function for each change, as long as the component is shown. */
export function useChanges(listener: Listener): void {
  const current = useRef(listener);
  current.current = listener;
  useEffect(() => {
    const call: Listener = (change) => current.current(change);
    listeners.add(call);
    return () => void listeners.delete(call);
  }, []);
}

export interface Loaded<T> {
  value: T | null;
  error: AgentError | null;
  reload: () => void;
}

const PAUSE = 500;
/** Milliseconds between two loads of the same value: a busy agent changes more often than a reader looks. */

/** Load a value, and again when `inputs` differ or a change of one of the `types` has come. */
export function useLoaded<T>(load: () => Promise<T>, inputs: readonly unknown[], types: readonly string[]): Loaded<T> {
  const [state, setState] = useState<{ value: T | null; error: AgentError | null }>({ value: null, error: null });
  const number = useRef(0);
  const timer = useRef(0);
  const run = useCallback(() => {
    const mine = (number.current += 1);
    load().then(
      (value) => mine === number.current && setState({ value, error: null }),
      (error: AgentError) => mine === number.current && setState((before) => ({ value: before.value, error })),
    );
  }, inputs);
  useEffect(() => {
    run();
    return () => clearTimeout(timer.current);
  }, [run]);
  useChanges((change) => {
    if ((change.type !== "reload" && !types.includes(change.type)) || timer.current) return;
    timer.current = setTimeout(() => {
      timer.current = 0;
      run();
    }, PAUSE);
  });
  return { ...state, reload: run };
}
