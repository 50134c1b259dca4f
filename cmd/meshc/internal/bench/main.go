//go:build linux

// Command bench measures meshc beside plain CUE and kubeconform, all in one run
// on the same documents, and its proxy with filters beside Envoy with the same
// ones. It prints documents per second, ratios, memory and time a request.
// Ratios of one run mean something on any machine; the rest only on a quiet one.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

const (
	documents = 10_000
	forCUE    = 1_000 // CUE is slow, and linear
	rounds    = 3     // of each process
)

func main() {
	meshc := flag.String("meshc", "bin/meshc", "the meshc binary")
	envoy := flag.String("envoy", ".tools/envoy", "the Envoy binary")
	only := flag.String("only", "", "documents or filters; both unless given")
	kubeconform := flag.String("kubeconform", ".tools/kubeconform", "the kubeconform binary")
	flag.Parse()
	dir, err := os.MkdirTemp("", "meshc-bench-")
	if err == nil {
		b := bench{meshc: *meshc, kubeconform: *kubeconform, envoy: *envoy, dir: dir}
		err = b.run(*only)
		os.RemoveAll(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	meshc, kubeconform, envoy, dir string
	docs                           []document
	out                            *tabwriter.Writer
}

func (b *bench) run(only string) error {
	b.out = tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, part := range []struct {
		name string
		run  func() error
	}{{"documents", b.documents}, {"filters", b.filters}} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.run(); err != nil {
			return err
		}
		b.out.Flush()
	}
	return nil
}

// documents measures the way from files to a snapshot.
func (b *bench) documents() error {
	b.docs = corpus(documents)
	size := 0
	for _, d := range b.docs {
		size += len(d.text)
	}
	fmt.Printf("%d documents: 30%% Service, 30%% Endpoints of 3 addresses, 10%% each Kong service, TrafficRoute, Retry, Timeout; %d bytes each on average\n",
		len(b.docs), size/len(b.docs))
	for _, part := range []func() error{b.library, b.besideKubeconform, b.reload, b.processes} {
		if err := part(); err != nil {
			return err
		}
		b.out.Flush()
	}
	return nil
}

func (b *bench) title(text string) { fmt.Printf("\n%s\n", text) }

// row prints how long so many documents took, and a remark.
func (b *bench) row(docs int, wall, cpu time.Duration, remark, what string) {
	fmt.Fprintf(b.out, "%.0f documents/s\t%.1f µs of a core each\t%s\t  %s\n",
		float64(docs)/wall.Seconds(), float64(cpu.Nanoseconds())/float64(docs)/1e3, remark, what)
}

// times says how often a time goes into another of so many times more documents.
func times(other, own time.Duration, more float64) string {
	return fmt.Sprintf("%.1f x", float64(other)*more/float64(own))
}

// library measures in this process, on one core.
func (b *bench) library() error {
	procs := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(procs)
	b.title("Cold, one core, from bytes to decoded documents (processor time)")
	own, err := cold(b.docs)
	if err != nil {
		return err
	}
	peer, err := plainCUE(b.docs[:forCUE])
	if err != nil {
		return err
	}
	b.row(len(b.docs), own, own, times(peer, own, float64(len(b.docs))/forCUE), "meshc")
	b.row(forCUE, peer, peer, "1", fmt.Sprintf("plain CUE, the same rules, the first %d documents", forCUE))
	return nil
}

// besideKubeconform measures whole processes on the Kubernetes part.
func (b *bench) besideKubeconform() error {
	docs := forKubernetes(b.docs)
	schemas, err := writeSchemas(filepath.Join(b.dir, "schemas"))
	if err != nil {
		return err
	}
	many, one := filepath.Join(b.dir, "kubernetes"), filepath.Join(b.dir, "kubernetes.yaml")
	if err := writeFiles(many, docs); err != nil {
		return err
	}
	if err := writeOne(one, docs); err != nil {
		return err
	}
	for _, input := range []struct{ what, path string }{{"one file", one}, {"a file each", many}} {
		b.title(fmt.Sprintf("Processes from start to end, one core: %d Services and Endpoints, %s", len(docs), input.what))
		took, err := inTurns(rounds,
			func() (usage, error) { return run(true, b.meshc, "validate", input.path) },
			func() (usage, error) {
				return run(true, b.kubeconform, "-n", "1", "-strict", "-schema-location", schemas, input.path)
			})
		if err != nil {
			return err
		}
		b.row(len(docs), took[0].wall, took[0].cpu, times(took[1].wall, took[0].wall, 1), "meshc validate")
		b.row(len(docs), took[1].wall, took[1].cpu, "1", "kubeconform -n 1 -strict, with the schemas that meshc makes for editors")
		b.out.Flush()
	}
	return nil
}

func (b *bench) reload() error {
	b.title(fmt.Sprintf("One changed file among %d, %d cores, validate and compile", len(b.docs), runtime.GOMAXPROCS(0)))
	took, err := warm(slices.Concat(b.docs, mesh()))
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%.1f ms, the median of 21 changes\n", float64(took)/1e6)
	return nil
}

// processes measures the commands on all documents, a file each.
func (b *bench) processes() error {
	dir, cache := filepath.Join(b.dir, "all"), filepath.Join(b.dir, "cache")
	if err := writeFiles(dir, slices.Concat(b.docs, mesh())); err != nil {
		return err
	}
	b.title(fmt.Sprintf("Processes from start to end, %d cores: %d documents, a file each", runtime.GOMAXPROCS(0), len(b.docs)))
	commands := []struct {
		what string
		args []string
	}{
		{"meshc validate", []string{"validate", "--partial", dir}},
		{"meshc validate --cache, filled by an earlier run", []string{"validate", "--partial", "--cache", cache, dir}},
		{"meshc build", []string{"build", "-o", filepath.Join(b.dir, "snapshot"), dir}},
	}
	if _, err := run(false, b.meshc, commands[1].args...); err != nil {
		return err
	}
	var runs []func() (usage, error)
	for _, c := range commands {
		runs = append(runs, func() (usage, error) { return run(false, b.meshc, c.args...) })
	}
	took, err := inTurns(rounds, runs...)
	if err != nil {
		return err
	}
	for i, u := range took {
		b.row(len(b.docs), u.wall, u.cpu, fmt.Sprintf("%d MB resident", u.memory>>20), commands[i].what)
	}
	return nil
}
