package kong

import "cmp"

// Reference names another entity by its id or by its name.
type Reference struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Key returns what the reference says: the id, or else the name.
func (r *Reference) Key() string { return cmp.Or(r.ID, r.Name) }

// Label is what people call it: the name, or else the id.
func (r *Reference) Label() string { return cmp.Or(r.Name, r.ID) }

// Route is a Kong Route after defaulting. A pattern in Paths begins with ~,
// whichever format the file has.
type Route struct {
	ID            string              `json:"id"`
	Name          string              `json:"name"`
	Protocols     []string            `json:"protocols"`
	Methods       []string            `json:"methods"`
	Hosts         []string            `json:"hosts"`
	Paths         []string            `json:"paths"`
	Headers       map[string][]string `json:"headers"`
	SNIs          []string            `json:"snis"`
	Sources       []Address           `json:"sources"`
	Destinations  []Address           `json:"destinations"`
	RegexPriority int64               `json:"regex_priority"`
	StripPath     bool                `json:"strip_path"`
	PathHandling  string              `json:"path_handling"`
	PreserveHost  bool                `json:"preserve_host"`
	// HTTPSRedirect answers requests over http to a route for https alone.
	HTTPSRedirect uint32 `json:"https_redirect_status_code"`
	// Service is nil for a route that leads to none.
	Service *Reference `json:"service"`
	// CreatedAt is in seconds since 1970; 0 where it is not known.
	CreatedAt int64 `json:"created_at"`
	// Expression is set in routes of the expressions router.
	Expression string `json:"expression"`
}

// Address matches connections by IP address or range and by port; "" and 0 match all.
type Address struct {
	IP   string `json:"ip"`
	Port int32  `json:"port"`
}
