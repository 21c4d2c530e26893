/** Signing in: the token, or the one-time code in the address, becomes a cookie that scripts can't read. */

import { useState } from "preact/hooks";

import { api, AgentError, content } from "./api.ts";
import { Failure } from "./parts.tsx";

export interface Session {
  token?: string | null;
  read_only?: boolean;
}

/** Return the session, with the code of the address if there is one; null if a token is needed. */
export async function begin(): Promise<Session | null> {
  const code = /^#code=(.+)$/.exec(location.hash)?.[1];
  if (code) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      return await content(api.POST("/session/", { body: { code } }));
    } catch {
      // The code was used or has expired; an earlier session may still be valid.
    }
  }
  try {
    return await content(api.GET("/session/"));
  } catch (error) {
    if ((error as AgentError).status === 401) return null;
    throw error;
  }
}

/** End the session of this browser. */
export async function end(): Promise<void> {
  await content(api.DELETE("/session/"));
}

/** The form that asks for the token. */
export function SignIn({ onSession }: { onSession: (session: Session) => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<AgentError | null>(null);
  const submit = async (event: Event) => {
    event.preventDefault();
    setError(null);
    try {
      onSession(await content(api.POST("/session/", { body: { token: token.trim() } })));
    } catch (caught) {
      const failure = caught as AgentError;
      setError(failure.status === 401 ? new AgentError(401, "That is not a token of this agent.") : failure);
    }
  };
  return (
    <main class="sign-in">
      <h1>Sign in</h1>
      <form onSubmit={(event) => void submit(event)}>
        <label for="token">Token of this agent</label>
        <input id="token" type="password" autocomplete="current-password" required value={token}
          onInput={(event) => setToken(event.currentTarget.value)} />
        <button type="submit">Sign in</button>
      </form>
      <Failure error={error} />
      <p>
        <code>serve</code> prints the file that holds the token. On the agent's machine, <code>synapse-agent open</code>{" "}
        signs this browser in.
      </p>
    </main>
  );
}
