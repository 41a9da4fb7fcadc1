import { OvmError } from "../../errors.ts"
import { MOST_FILES } from "./files.ts"

/** All of standard input, in base64. Throws OVM_REQUEST_TOO_LARGE. */
export async function pipedInput(): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    size += chunk.length
    if (size > MOST_FILES)
      throw new OvmError("OVM_REQUEST_TOO_LARGE", `standard input has more than ${MOST_FILES >> 20} MiB`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString("base64")
}
