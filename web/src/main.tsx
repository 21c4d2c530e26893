/** The page of an agent: one more client of its contract. */

import "./style.css";

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";

import { AgentError } from "./api.ts";
import { JobView } from "./job.tsx";
import { Jobs } from "./jobs.tsx";
import { connect, connection, disconnect, isConnected } from "./live.ts";
import { Machine } from "./machine.tsx";
import { Failure } from "./parts.tsx";
import { Releases, ReleaseView } from "./releases.tsx";
import { address, useRoute } from "./route.ts";
import { begin, end, SignIn, type Session } from "./session.tsx";

const VIEWS = [["jobs", "Jobs"], ["releases", "Releases"], ["machine", "Machine"]] as const;

function App() {
  const [session, setSession] = useState<Session | null | undefined>(undefined);
  const [error, setError] = useState<AgentError | null>(null);
  const start = () => {
    begin().then(setSession, (caught: AgentError) => {
      setError(caught);
      setTimeout(start, 2000);
    });
  };
  useEffect(() => {
    start();
    const signedOut = () => setSession(null);
    addEventListener("signed-out", signedOut);
    return () => removeEventListener("signed-out", signedOut);
  }, []);
  useEffect(() => {
    if (session) connect();
    return disconnect;
  }, [session]);
  if (session === undefined) return <main><h1>Agent</h1><Failure error={error} /></main>;
  if (session === null) return <SignIn onSession={setSession} />;
  return <Shell session={session} onEnd={() => void end().finally(() => setSession(null))} />;
}

function Shell({ session, onEnd }: { session: Session; onEnd: () => void }) {
  const { path, query } = useRoute();
  const [view = "jobs", first, second] = path;
  const [isLive, setLive] = useState(isConnected);
  useEffect(() => {
    const follow = () => setLive(isConnected);
    connection.addEventListener("change", follow);
    return () => connection.removeEventListener("change", follow);
  }, []);
  useEffect(() => {
    const jump = (event: KeyboardEvent) => {
      if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement || event.ctrlKey || event.metaKey) return;
      const index = ["1", "2", "3"].indexOf(event.key);
      if (index >= 0) location.hash = address([VIEWS[index]?.[0] ?? "jobs"]);
      else if (event.key === "/") {
        event.preventDefault();
        document.querySelector<HTMLInputElement>("input[type=search]")?.focus();
      }
    };
    addEventListener("keydown", jump);
    return () => removeEventListener("keydown", jump);
  }, []);
  return (
    <>
      <header>
        <a class="skip" href="#app">To the content</a>
        <nav aria-label="Views">
          {VIEWS.map(([name, title], index) => (
            <a key={name} href={address([name])} aria-current={view === name ? "page" : undefined} aria-keyshortcuts={`${index + 1}`}>{title}</a>
          ))}
        </nav>
        <span class={isLive ? "live" : "stale"} role="status">{isLive ? "live" : "connecting …"}</span>
        {session.token && (
          <span>{session.token}{session.read_only ? ", read-only" : ""} <button type="button" onClick={onEnd}>Sign out</button></span>
        )}
        <a href="docs">API</a>
      </header>
      {view === "jobs" && first && <JobView key={first} job_id={first} />}
      {view === "jobs" && !first && <Jobs query={query} />}
      {view === "releases" && first && <ReleaseView key={first} lookup={first} action={second} query={query} />}
      {view === "releases" && !first && <Releases />}
      {view === "machine" && <Machine />}
      {!VIEWS.some(([name]) => name === view) && <main><h1>Not found</h1><p>There is no view at this address. <a href={address(["jobs"])}>Jobs</a></p></main>}
    </>
  );
}

render(<App />, document.getElementById("app") as HTMLElement);
