/**
 * What a runtime does and the words that it does it in: those of the wire, which have one source
 * (spec/api/openapi.yaml), so that nothing is translated between runtime/local.ts and the client.
 */
export type * from "@ovms/client"
