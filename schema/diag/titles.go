package diag

// Title says in a few words what a code stands for; "" for an unknown code.
func Title(code string) string { return titles[code] }

var titles = map[string]string{
	CodeUnreadable:   "A file or directory cannot be read",
	CodeNotRegular:   "A device, socket or pipe stands where a file should be",
	CodeTooLarge:     "A file is too large",
	CodeNotUTF8:      "A file is not UTF-8 text",
	CodeWatchLimit:   "The system's limit on file watches is reached",
	CodeNoInput:      "There is no input",
	CodeExtension:    "A file's extension says no format",
	CodeSnapshotFile: "A snapshot file cannot be used",

	CodeSyntax:       "The text does not parse",
	CodeDuplicateKey: "A mapping names a key twice",
	CodeKeyNotString: "A mapping key is not a string",
	CodeTooDeep:      "The text is nested too deep or has too many aliases",
	CodeYAMLTrap:     "YAML 1.1 reads a value differently",
	CodeCUE:          "CUE does not evaluate to plain values",

	CodeUnrecognised: "A document belongs to no known system",
	CodeUnknownKind:  "A kind does not exist",
	CodeIgnoredKind:  "A kind is left out",
	CodeUnknownAPI:   "A kind has no such apiVersion",

	CodeType:         "A value has the wrong type",
	CodeUnknownField: "A field is unknown",
	CodeRequired:     "A required field is missing",
	CodeInvalid:      "A value is not allowed",
	CodeNotSupported: "A value is not one of those supported",
	CodeDuplicate:    "A value that must be unique is not",
	CodeForbidden:    "A field may not be set here",
	CodeTooLong:      "A value or list is too long",
	CodeAlias:        "A short tag is read as its full name",
	CodeEnvoy:        "Envoy would not take a raw resource",
	CodeCertificate:  "A certificate or key cannot be used",

	CodeDuplicateName:  "Two documents have one name",
	CodeServiceMeeting: "Two systems define one service",
	CodeUnknownService: "Nobody defines a service that is referred to",
	CodeUnknownMesh:    "Nobody defines a mesh that is referred to",
	CodePortTwice:      "A proxy binds a port twice",
	CodeHostTwice:      "A host at the gateway is claimed twice",
	CodeNoEndpoints:    "A service has no endpoints",
	CodeMatchesNothing: "A policy selects nothing",
	CodeTie:            "Policies have equal rank",
	CodeShadowed:       "A policy is always beaten by another",
	CodeUnknownBackend: "The mesh has no such backend",
	CodeUnknownSecret:  "Nobody defines a secret that is referred to",
	CodeUnknownEntity:  "Nobody defines a Kong entity that is referred to",
	CodeNoFile:         "A file that a document names is not there",
	CodeDigest:         "A file is not the one that its digest says",
	CodeUnprotected:    "Traffic that TLS does not protect",
	CodeNoMTLS:         "Permissions without mTLS, or mTLS without permissions",
	CodeExposedSecret:  "A secret lies in a file that everybody may read",
	CodeModule:         "A Wasm module cannot work",

	CodeNotEnforced: "Security that this build would not enforce",
	CodeNotApplied:  "A setting without effect in this build",

	CodeIdleSilence: "A silence silences nothing",
}
