/** Sending a file to the agent, in parts, under the name of its content. */

import { api, AgentError, BASE, PAGE_HEADER, type Json } from "./api.ts";

const PART = 8 * 1024 * 1024;
const LARGEST = 1024 * 1024 * 1024;

/** Send a file and return its reference for params. */
export async function upload(file: File, onProgress: (sent: number) => void): Promise<Json> {
  if (!crypto.subtle) throw new AgentError(0, "Browsers hash files over https or on this machine only. Use synapse-agent run -p name=@file.");
  if (file.size > LARGEST) throw new AgentError(0, "The file has more than 1 GiB. Use synapse-agent run -p name=@file.");
  const digest = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
  const id = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  let offset = await received(id);
  while (offset < file.size || (offset === 0 && file.size === 0)) {
    const query = new URLSearchParams({ size: `${file.size}`, offset: `${offset}`, name: file.name });
    const part = file.slice(offset, offset + PART);
    const answer = await fetch(new URL(`files/${id}/content/?${query}`, BASE), {
      method: "PUT",
      headers: { ...PAGE_HEADER, "Content-Type": "application/octet-stream" },
      body: part,
    });
    if (!answer.ok) throw AgentError.from(answer.status, await answer.json().catch(() => null));
    offset += part.size;
    onProgress(offset);
    if (file.size === 0) break;
  }
  return { $file: { id, name: file.name } };
}

async function received(id: string): Promise<number> {
  const { data } = await api.GET("/files/{file_id}/", { params: { path: { file_id: id } } });
  return data?.received ?? 0;
}
