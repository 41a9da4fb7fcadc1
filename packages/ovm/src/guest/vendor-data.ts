import { agentInstaller } from "./agent/program.ts"

const BOUNDARY = "==ovm=="

/**
 * What a guest is told besides what its user says: whom cloud-init makes unless told otherwise, and to take the agent
 * from the same disk (spec/first-boot.md). Undefined for nothing. A script is a part of its own, so that no list of the
 * user's stands in its place.
 */
export function vendorData(user: string | undefined, agent: boolean): string | undefined {
  const config =
    user === undefined ? undefined : `#cloud-config\n${JSON.stringify({ user: { name: user } })}\n`
  if (!agent) return config
  const part = (type: string, content: string) =>
    `--${BOUNDARY}\nContent-Type: ${type}; charset="us-ascii"\n\n${content}\n`
  return [
    `Content-Type: multipart/mixed; boundary="${BOUNDARY}"\nMIME-Version: 1.0\n\n`,
    ...(config === undefined ? [] : [part("text/cloud-config", config)]),
    part("text/x-shellscript", agentInstaller()),
    `--${BOUNDARY}--\n`,
  ].join("")
}
