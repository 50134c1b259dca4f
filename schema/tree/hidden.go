package tree

// Hidden is text that must not be seen: it prints as [redacted]. Convert it to
// a string to get at it.
type Hidden string

// String hides the text.
func (h Hidden) String() string { return "[redacted]" }

// GoString hides the text.
func (h Hidden) GoString() string { return "[redacted]" }
