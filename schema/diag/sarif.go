package diag

import (
	"cmp"
	"net/url"
	"path"
	"slices"
)

// The types below are the part of SARIF 2.1.0 that findings need; the section
// numbers are those of the OASIS standard.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct { // 3.14
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct { // 3.18
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct { // 3.19
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct { // 3.49
		ID               string        `json:"id"`
		ShortDescription sarifMessage  `json:"shortDescription"`
		FullDescription  *sarifMessage `json:"fullDescription,omitempty"`
		Help             *sarifMessage `json:"help,omitempty"`
	}
	sarifResult struct { // 3.27
		RuleID           string          `json:"ruleId"`
		RuleIndex        int             `json:"ruleIndex"`
		Level            string          `json:"level"`
		Message          sarifMessage    `json:"message"`
		Locations        []sarifLocation `json:"locations,omitempty"`
		RelatedLocations []sarifLocation `json:"relatedLocations,omitempty"`
	}
	sarifMessage struct { // 3.11
		Text string `json:"text"`
	}
	sarifLocation struct { // 3.28
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
		Message  *sarifMessage  `json:"message,omitempty"`
	}
	sarifPhysical struct { // 3.29
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct { // 3.4
		URI string `json:"uri"`
	}
	sarifRegion struct { // 3.30
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct { // 3.33
		FullyQualifiedName string `json:"fullyQualifiedName"`
	}
)

// marshalSARIF writes findings as a SARIF log of one run. Its rules are the
// codes that occur.
func marshalSARIF(ds []Diagnostic) ([]byte, error) {
	codes := []string{}
	for _, d := range ds {
		codes = append(codes, d.Code)
	}
	slices.Sort(codes)
	codes = slices.Compact(codes)
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "meshc", Rules: make([]sarifRule, len(codes))}},
		ColumnKind: "unicodeCodePoints",
		Results:    make([]sarifResult, len(ds)),
	}
	for i, code := range codes {
		run.Tool.Driver.Rules[i] = newSARIFRule(code)
	}
	for i := range ds {
		d := &ds[i]
		rule, _ := slices.BinarySearch(codes, d.Code)
		r := sarifResult{RuleID: d.Code, RuleIndex: rule, Level: d.Severity.String(), Message: sarifMessage{d.sentence()}}
		if d.File != "" {
			l := sarifLocation{Physical: physical(d.Place)}
			if d.Path != "" {
				l.Logical = []sarifLogical{{d.Path}}
			}
			r.Locations = []sarifLocation{l}
		}
		for _, rel := range d.Related {
			r.RelatedLocations = append(r.RelatedLocations, sarifLocation{Physical: physical(rel.Place), Message: &sarifMessage{visible(rel.Message)}})
		}
		run.Results[i] = r
	}
	return encode(sarifLog{
		Schema:  "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
		Version: "2.1.0",
		Runs:    []sarifRun{run},
	})
}

// newSARIFRule describes a code as its page does.
func newSARIFRule(code string) sarifRule {
	rule := sarifRule{ID: code, ShortDescription: sarifMessage{cmp.Or(Title(code), code)}}
	if page, err := ReadPage(code); err == nil {
		rule.FullDescription, rule.Help = &sarifMessage{page.firstParagraph()}, &sarifMessage{page.Prose}
	}
	return rule
}

// physical writes p with a URI reference: relative to where the checkout is,
// or absolute where the file's path is.
func physical(p Place) sarifPhysical {
	u := url.URL{Path: p.File}
	if path.IsAbs(p.File) {
		u.Scheme = "file"
	}
	out := sarifPhysical{Artifact: sarifArtifact{URI: u.String()}}
	if p.Line > 0 {
		out.Region = &sarifRegion{StartLine: p.Line, StartColumn: p.Column}
	}
	return out
}
