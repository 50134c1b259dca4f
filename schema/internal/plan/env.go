package plan

import (
	"slices"

	"github.com/meshc/meshc/schema/tree"
)

// env is the struct that names of one lexical scope refer to. Its node is
// replaced as defaults are filled in.
type env struct {
	node *tree.Node
	up   int // the enclosing scope's env, or noEnv
	// owned: node is a copy made in this run, so it may be changed.
	owned bool
	room  int // for fields that a copy may get
	// known has a bit for each of the first 64 fields that a rule has been
	// applied to. Where shifted is set, one was removed, and known stays empty.
	known   uint64
	shifted bool
	keys    uint64 // the keyBits of all fields, and perhaps of others
}

const noEnv = -1

// keyBit is a bit that tells most keys apart: many fields are declared, and few
// of them written.
func keyBit(key string) uint64 {
	if key == "" {
		return 1
	}
	return 1 << ((len(key)*7 + int(key[0])*3 + int(key[len(key)-1])) % 64)
}

const anyKey = ^uint64(0)

// push adds an env for n, whose copy may get so many fields more.
func (r *run) push(up int, n *tree.Node, room int) int {
	var keys uint64
	for i := range n.Fields {
		keys |= keyBit(n.Fields[i].Key)
	}
	r.envs = append(r.envs, env{node: n, up: up, room: room, keys: keys})
	return len(r.envs) - 1
}

// know notes that field i of env e has a rule.
func (r *run) know(e, i int) {
	if v := &r.envs[e]; !v.shifted {
		v.known |= 1 << i // nothing for the 65th field and later ones
	}
}

// pop removes env e and returns its node.
func (r *run) pop(e int) *tree.Node {
	n := r.envs[e].node
	r.envs = r.envs[:e]
	return n
}

// own returns the node of env e as a copy that may be changed.
func (r *run) own(e int) *tree.Node {
	v := &r.envs[e]
	if !v.owned {
		n := r.slab.node(*v.node)
		n.Fields = r.slab.copyFields(n.Fields, v.room)
		v.node, v.owned = n, true
	}
	return v.node
}

// remove takes field i off the node of env e.
func (r *run) remove(e, i int) {
	n := r.own(e)
	n.Fields = slices.Delete(n.Fields, i, i+1)
	r.envs[e].known, r.envs[e].shifted = 0, true
}
