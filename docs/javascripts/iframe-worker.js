// A page that was opened from disk can't start a worker, which search needs: a frame does the same work instead. As between
// a page and its worker, messages are copies and arrive later.
if (location.protocol === "file:") {
  const soon = (event) => new Promise((resolve) => setTimeout(resolve)).then(() => event);
  const message = (data) => soon(new MessageEvent("message", { data: structuredClone(data) }));

  globalThis.Worker = class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      this.scope = this.frame.contentWindow;
      this.scope.postMessage = (data) => message(data).then((event) => this.tell(event));
      const script = this.frame.contentDocument.createElement("script");
      this.isReady = new Promise((resolve) => (script.onload = resolve));
      script.onerror = () => this.tell(new Event("error"));
      script.src = new URL(url, document.baseURI).href;
      this.frame.contentDocument.body.append(script);
    }

    tell(event) {
      this[`on${event.type}`]?.(event);
      this.dispatchEvent(event);
    }

    postMessage(data) {
      const sent = message(data);
      this.isReady.then(() => sent).then((event) => this.scope.dispatchEvent(event));
    }

    terminate() {
      this.frame.remove();
    }
  };
}
