import table from "@ovms/spec/errors.json" with { type: "json" }

/** The closed list of spec/errors.json: status of an API answer, and exit status. */
export const codes: Readonly<Record<string, { readonly http: number; readonly exit: number }>> = table.codes
