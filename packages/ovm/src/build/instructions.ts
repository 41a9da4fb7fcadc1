import type { Instruction } from "./document.ts"
import { Wrong } from "./faults.ts"

/** What there is, and the flags that each may have. */
const FLAGS: Readonly<Record<string, readonly string[]>> = {
  FROM: ["platform"],
  RUN: [],
  COPY: ["from", "chown", "chmod", "link"],
  ADD: ["chown", "chmod", "link"],
  ENV: [],
  ARG: [],
  WORKDIR: [],
  USER: [],
  LABEL: [],
  ENTRYPOINT: [],
  CMD: [],
  EXPOSE: [],
  VOLUME: [],
  HEALTHCHECK: ["interval", "timeout", "start-period", "start-interval", "retries"],
  STOPSIGNAL: [],
  SHELL: [],
}

/** What has nothing in it, as Docker has it. */
export const SCRATCH = "scratch"

const HEREDOC = /(^|\s)\d*<<-?["']?[A-Za-z_]/

/** Throws Wrong for what is not supported, as far as that can be told without the values of variables. */
export function checkInstruction({ keyword, flags, rest }: Instruction): void {
  const known = Object.hasOwn(FLAGS, keyword) ? FLAGS[keyword] : undefined
  if (!known) throw new Wrong(`${keyword} is not supported`)
  const odd = [...flags.keys()].find((name) => !known.includes(name))
  if (odd !== undefined) throw new Wrong(`${keyword} --${odd} is not supported`)
  if (["RUN", "COPY", "ADD"].includes(keyword) && HEREDOC.test(rest))
    throw new Wrong("heredocs are not supported")
  if (rest === "") throw new Wrong(`${keyword} says nothing`)
  if (keyword === "FROM") {
    const platform = flags.get("platform")
    if (platform !== undefined && !/^(linux\/(amd64|x86_64)|\$\{?(TARGET|BUILD)PLATFORM\}?)$/.test(platform))
      throw new Wrong(`the platform ${JSON.stringify(platform)} is not supported: machines are linux/amd64`)
  }
  if (flags.get("from") === SCRATCH) throw new Wrong(`there is nothing in ${SCRATCH} to copy`)
}
