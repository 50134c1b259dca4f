// Package compiler turns checked documents into one snapshot.
//
// A compile is a visible list of passes over one build: resolve finds out what
// the documents define together, attach decides which policy and which
// clusters every listener gets, order puts everything in its one order and
// finds what collides there, runPlugins and runKinds give the listeners that are
// left their filters, lower writes the snapshot's plain values. Each
// pass reads what those before it left and reports what it finds; none stops
// the others, so one run shows every mistake.
package compiler

import (
	"maps"

	"github.com/meshc/meshc/compiler/snapshot"
	"github.com/meshc/meshc/schema"
	"github.com/meshc/meshc/schema/diag"
)

// Compiler compiles again and again, and keeps what did not change from one
// compile to the next: the cost follows the size of the change, and the result
// is that of a cold compile. It is for one goroutine at a time.
type Compiler struct {
	// Modules returns the module that a WasmPlugin names, as schema.Sources does.
	// Where it is nil, no module is at hand.
	Modules func(*schema.Document) (m *schema.Module, looked bool)
	// Check may be nil.
	Check Check
	// Node is the machine that the snapshots are for; it does not change.
	Node Node
	// Kinds are the policy kinds. They must not change between compiles.
	Kinds []Kind

	plugins      memo[*schema.Document, *plugin]
	targets      memo[targetKey, *targeted]
	targetStamps map[serviceKey]int

	gatewayStamps  map[string]int // by mesh
	gatewayMatches memo[*passage, *gatewayMatch]
	gatewayUses    map[useKey]*gatewayUse
	round          uint64 // of the compile

	selected      memo[*schema.Document, []int] // of a dataplane, among the plugins of its mesh
	rulesets      memo[rulesetKey, *ruleset]
	services      memo[*schema.Document, []*service] // of one Kubernetes or Kong document
	offers        offers
	zonedServices memo[serviceKey, *service] // of Dataplanes and zones
	metricsOnes   memo[serviceKey, *service] // services of metrics
	clusters      *clusters
	hosts         memo[*service, snapshot.VirtualHost]
	routeHosts    [2]memo[string, snapshot.VirtualHost] // by transport and host
	secureHosts   memo[*service, snapshot.VirtualHost]  // over TLS
	kongRoutes    memo[*schema.Document, *kongRouted]
	unsplit       memo[splitKey, error]                // why an expression is not looked at
	metrics       memo[*schema.Document, *metricsConf] // of a Mesh or a Dataplane
	secrets       memo[string, snapshot.Secret]
	authorities   memo[string, snapshot.Authority]
	worlds        worlds                                    // where there are policies
	selecting     memo[*schema.Document, []diag.Diagnostic] // what is wrong with the selectors of a policy
	contests      memo[rulesetKey, []diag.Diagnostic]
	documents     kept[*schema.Document, snapshot.Document]
	origins       kept[*schema.Document, snapshot.Origin]
	unsupported   kept[*schema.Document, []diag.Diagnostic]
	clusterList   kept[*lowered, snapshot.Cluster]
	endpointList  kept[*lowered, snapshot.EndpointSet]
	serviceOrder  ranking[serviceKey]
	clusterOrder  ranking[string]
	// endpointOrder is that of the names of endpoint sets.
	endpointOrder ranking[string]
	// What passages depend on, and the passages themselves.
	lastServices, lastDefined []*service
	lastRulesets              map[rulesetKey]*ruleset
	lastAware                 map[string]bool // the meshes that balance by locality
	gateway                   []*passage      // by service, nil for what the gateway does not serve
	views                     []*view
	// claims are the hosts of the gateway in the last compile, if no host was
	// claimed twice in it.
	claims []claim
}

// Check returns what is wrong with a filter, as far as can be told without
// running it, each as a sentence without its end. blob is what the filter runs.
// It depends on nothing but its arguments.
type Check func(f snapshot.Filter, tcp bool, blob string) []string

// New returns a Compiler that has compiled nothing.
func New() *Compiler {
	return &Compiler{targetStamps: map[serviceKey]int{}, gatewayStamps: map[string]int{}, gatewayUses: map[useKey]*gatewayUse{}, clusters: &clusters{locals: &localClusters{}}}
}

// Result is what a compile yields.
type Result struct {
	// Snapshot is whole only if Diagnostics holds no error.
	Snapshot snapshot.Snapshot
	// Diagnostics are mistakes between documents.
	Diagnostics []diag.Diagnostic
	// Unsupported is what the documents ask for and this build cannot put
	// into effect: an error where someone would rely on it for security, a
	// warning otherwise. It is kept apart because the documents are right.
	Unsupported []diag.Diagnostic
}

// Compile compiles docs, which are sorted as Loader.Load sorts them.
func (c *Compiler) Compile(docs []*schema.Document) Result {
	b := c.newBuild(docs)
	c.round++
	for _, pass := range []func(*build){
		resolve,
		references,
		policies,
		secure,
		attach,
		order,
		runPlugins,
		runKinds,
		lower,
	} {
		pass(b)
	}
	c.views = b.views
	c.rulesets.endCompile()
	c.services.endCompile()
	c.zonedServices.endCompile()
	c.metricsOnes.endCompile()
	c.hosts.endCompile()
	c.secureHosts.endCompile()
	for i := range c.routeHosts {
		c.routeHosts[i].endCompile()
	}
	c.kongRoutes.endCompile()
	c.unsplit.endCompile()
	c.metrics.endCompile()
	c.secrets.endCompile()
	c.authorities.endCompile()
	c.plugins.endCompile()
	c.gatewayMatches.endCompile()
	maps.DeleteFunc(c.gatewayUses, func(_ useKey, u *gatewayUse) bool { return u.round != c.round })
	c.targets.endCompile()
	c.selected.endCompile()
	c.selecting.endCompile()
	c.contests.endCompile()
	diag.Sort(b.diags)
	diag.Sort(b.unsupported)
	return Result{Snapshot: b.out, Diagnostics: b.diags, Unsupported: b.unsupported}
}

func (c *Compiler) newBuild(docs []*schema.Document) *build {
	return &build{
		c: c, input: docs,
		meshes:   map[string]*schema.Document{"default": nil},
		services: map[serviceKey]*service{},
		known:    map[string]map[string]bool{},
	}
}

// build is the state of one compile, in the order in which the passes fill it.
type build struct {
	c     *Compiler
	input []*schema.Document

	// resolve
	docs         []*schema.Document            // input without duplicates
	byKind       map[string][]*schema.Document // docs by "DIALECT/KIND"
	meshes       map[string]*schema.Document   // nil for a default nobody wrote
	metrics      map[string]*metricsConf       // by mesh, of those that have an enabled backend
	hidden       map[*schema.Document]bool     // the dataplanes whose metrics have no place to be shown at
	metricsConfs []*metricsConf                // the same and those of dataplanes that differ, in order
	services     map[serviceKey]*service       // but for those in c.offers; see service
	defined      []*service                    // all as they were met
	sorted       []*service                    // all by mesh and name, their order everywhere
	dataplanes   []*schema.Document
	routes       []*schema.Document // TrafficRoutes
	zones        zones
	rulesets     map[rulesetKey]*ruleset
	secrets      map[string]*schema.Document // Secrets by mesh/name, GlobalSecrets by /name; see secret
	kongSecrets  []snapshot.Secret           // that Kong's services need for TLS
	// shown are the certificates of the gateway, by the server names.
	shown map[string]*kongShown
	// own is the one that it makes itself, for all other server names.
	own       kongShown
	httpsOnly *schema.Document // one of the routes that only clients over TLS get to
	datagrams []*service       // of UDP, which is no service of a mesh
	streams   []*kongStream    // in the order in which they claim server names and ports
	// gatewayRoutes are in the order in which they are tried.
	gatewayRoutes []*gatewayRoute

	// secure
	mtls map[string]*meshTLS // by mesh, of those that have it

	// attach
	hosts []*gatewayHost
	views []*view
	news  *news
	node  []nodeListener
	// targets are the hosts by service, where there are gatewayRoutes.
	targets map[*service]*gatewayHost

	// order
	routeHosts []*routeHost

	// runPlugins
	plugins        []*pluginUse      // those that run somewhere, in order
	gatewayFilters []snapshot.Filter // in order

	// runKinds
	calls    []call        // that filters make
	reported map[once]bool // of addOnce

	// lower
	out    snapshot.Snapshot
	inputs []any // of lowerDataplane, to be used again

	known map[string]map[string]bool // names of services by mesh, for suggestions

	diags       []diag.Diagnostic
	unsupported []diag.Diagnostic
}

// report adds a finding at a field of doc.
func (b *build) report(code string, sev diag.Severity, doc *schema.Document, path []any, message, hint string, related ...diag.Related) {
	b.diags = append(b.diags, finding(code, sev, doc, path, message, hint, related...))
}

// reportMissing adds a finding that rests on something of that name not being
// there, for Withhold.
func (b *build) reportMissing(name, code string, sev diag.Severity, doc *schema.Document, path []any, message, hint string, related ...diag.Related) {
	d := finding(code, sev, doc, path, message, hint, related...)
	d.Missing = name
	b.diags = append(b.diags, d)
}

func finding(code string, sev diag.Severity, doc *schema.Document, path []any, message, hint string, related ...diag.Related) diag.Diagnostic {
	return diag.Diagnostic{
		Code: code, Severity: sev, Place: doc.Place(path...), Path: diag.Path(path...),
		Message: message, Hint: hint, Related: related,
	}
}
