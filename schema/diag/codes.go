package diag

// The codes. A code never changes its meaning and is never used again once
// retired. The hundreds say which stage speaks.
const (
	// Reading the tree of files.
	CodeUnreadable   = "MC0001" // a file or directory cannot be read
	CodeNotRegular   = "MC0002" // a device, socket or pipe where a file should be
	CodeTooLarge     = "MC0003" // a file is larger than meshc reads
	CodeNotUTF8      = "MC0004" // a file is not UTF-8 text
	CodeWatchLimit   = "MC0005" // the system's limit on file watches is reached
	CodeNoInput      = "MC0006" // no input file at all
	CodeExtension    = "MC0007" // a file named directly whose extension says no format
	CodeSnapshotFile = "MC0008" // a snapshot file that cannot be used

	// Syntax.
	CodeSyntax       = "MC0101" // YAML, JSON or CUE that does not parse
	CodeDuplicateKey = "MC0102" // a mapping names a key twice
	CodeKeyNotString = "MC0103" // a mapping key that is not a string
	CodeTooDeep      = "MC0104" // nested too deep, or too many aliases
	CodeYAMLTrap     = "MC0105" // a scalar that YAML 1.1 reads differently
	CodeCUE          = "MC0106" // CUE that does not evaluate to plain values

	// Recognising documents.
	CodeUnrecognised = "MC0201" // no dialect claims the document
	CodeUnknownKind  = "MC0202" // a dialect's kind that does not exist
	CodeIgnoredKind  = "MC0203" // a Kubernetes kind that meshc leaves out (note)
	CodeUnknownAPI   = "MC0204" // an apiVersion that the kind does not have

	// The rules about one document.
	CodeType         = "MC0301" // wrong type
	CodeUnknownField = "MC0302" // a field that the schema does not know
	CodeRequired     = "MC0303" // a required field is missing
	CodeInvalid      = "MC0304" // a value outside what its rule allows
	CodeNotSupported = "MC0305" // a value that is not one of a list
	CodeDuplicate    = "MC0306" // a value that must be unique is not
	CodeForbidden    = "MC0307" // a field that may not be set here
	CodeTooLong      = "MC0308" // a value or list that is too long
	CodeAlias        = "MC0309" // a short tag (service, protocol) read as its full name
	CodeEnvoy        = "MC0310" // a raw resource that Envoy would not take
	CodeCertificate  = "MC0311" // a certificate or key that cannot be used

	// Between documents.
	CodeDuplicateName  = "MC0401" // two documents of one name
	CodeServiceMeeting = "MC0402" // one service defined by two dialects
	CodeUnknownService = "MC0403" // a reference to a service nobody defines
	CodeUnknownMesh    = "MC0404" // a mesh nobody defines
	CodePortTwice      = "MC0405" // one proxy binds a port twice
	CodeHostTwice      = "MC0406" // one host at the gateway claimed twice
	CodeNoEndpoints    = "MC0407" // a service without endpoints
	CodeMatchesNothing = "MC0409" // a policy that selects nothing
	CodeTie            = "MC0410" // policies of equal rank
	CodeShadowed       = "MC0411" // a policy that another one always beats
	CodeUnknownBackend = "MC0412" // a backend that the mesh does not have
	CodeUnknownSecret  = "MC0413" // a secret nobody defines
	CodeUnknownEntity  = "MC0414" // a Kong entity nobody defines
	CodeNoFile         = "MC0415" // a file that a document names is not there
	CodeDigest         = "MC0416" // a file whose content is not what its digest says
	CodeNoMTLS         = "MC0417" // permissions without mTLS, or mTLS without permissions
	CodeExposedSecret  = "MC0418" // a secret in a file that everybody may read
	CodeModule         = "MC0419" // a Wasm module that cannot work
	CodeUnprotected    = "MC0420" // traffic that TLS does not protect

	// What this build cannot put into effect.
	CodeNotEnforced = "MC0501" // security that would not be enforced (error)
	CodeNotApplied  = "MC0502" // a setting without effect (warning)

	// Silencing.
	CodeIdleSilence = "MC0601" // a silence that silences nothing
)

// LeadsOut reports whether a code says that something the input refers to is
// not in the input, or rests on the input being whole: what meshc validate --partial leaves out.
func LeadsOut(code string) bool {
	switch code {
	case CodeUnknownService, CodeUnknownMesh, CodeNoEndpoints, CodeMatchesNothing, CodeNoInput,
		CodeUnknownBackend, CodeUnknownSecret, CodeUnknownEntity, CodeNoFile, CodeNoMTLS, CodeUnprotected, CodeTie, CodeShadowed:
		return true
	}
	return false
}
