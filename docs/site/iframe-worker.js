// Browsers start no Worker for a page that was opened from a folder. There the search runs in a
// hidden frame instead, which the page and it take for a Worker.
if (location.protocol === "file:")
  window.Worker = class {
    constructor(url) {
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      inside.postMessage = (data) => this.onmessage?.(new MessageEvent("message", { data }))
      const script = inside.document.createElement("script")
      this.ready = new Promise((loaded) => (script.onload = loaded))
      script.onerror = () => this.onerror?.(new Event("error"))
      script.src = new URL(url, location.href)
      inside.document.body.append(script)
    }
    postMessage(data) {
      const inside = this.frame.contentWindow
      this.ready.then(() => inside.dispatchEvent(new inside.MessageEvent("message", { data })))
    }
    terminate() {
      this.frame.remove()
    }
  }
