/**
 * True if what listens at `url` speaks TLS, whoever it is: certificates are judged when it is asked for something.
 * False if it does not, or not within `timeoutMs`.
 */
export function speaksTls(url: URL, timeoutMs: number): Promise<boolean> {
  const { connect } = process.getBuiltinModule("node:tls")
  return new Promise((resolve) => {
    const host = url.hostname.replace(/^\[|\]$/g, "")
    // Nothing is sent but the hello, and nothing is believed.
    const socket = connect({ host, port: Number(url.port || 443), rejectUnauthorized: false })
    const end = (spoken: boolean) => {
      socket.destroy()
      resolve(spoken)
    }
    socket.setTimeout(timeoutMs, () => end(false))
    socket.once("secureConnect", () => end(true))
    // A server that wants a certificate of ours ends the handshake with an alert, which is TLS too.
    socket.once("error", (error: NodeJS.ErrnoException) => end(/ALERT|CERTIFICATE/i.test(String(error.code))))
    socket.once("close", () => end(false))
  })
}
