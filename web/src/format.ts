/** Values as people read them. */

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Format a number of bytes. */
export function size(bytes: number): string {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit ? bytes.toFixed(1) : bytes} ${UNITS[unit]}`;
}

/** Format a duration in seconds. */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

/** Format a time: only the time of today, else with its date. */
export function time(text: string | null | undefined): string {
  if (!text) return "";
  const moment = new Date(text);
  const isToday = moment.toDateString() === new Date().toDateString();
  return isToday ? moment.toLocaleTimeString() : moment.toLocaleString();
}

/** Return the seconds from one time to another, or to now. */
export function seconds(from: string | null | undefined, to: string | null | undefined): number | null {
  if (!from) return null;
  return ((to ? new Date(to).getTime() : Date.now()) - new Date(from).getTime()) / 1000;
}
