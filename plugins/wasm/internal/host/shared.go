package host

import (
	"strings"
	"sync"

	"github.com/meshc/meshc/plugins/wasm/internal/abi"
)

// Bounds on what the guests of one vm_id may keep outside of their memories.
const (
	maxShared = 64 << 20 // bytes of keys, values, queue names and items
	maxQueues = 10_000
	itemCost  = 64 // what an entry counts besides its bytes
	maxUntold = 10_000
)

// Spaces are the shared data and queues of a process, by mesh and vm_id. An
// Envoy serves one mesh; so what guests of different meshes share in one process
// is nothing.
type Spaces struct {
	mu     sync.Mutex
	spaces map[spaceKey]*Space
	queues map[uint32]*queue // of all spaces: a token may be passed on within a mesh
	token  uint32
	cas    uint32
}

// NewSpaces returns no spaces.
func NewSpaces() *Spaces {
	return &Spaces{spaces: map[spaceKey]*Space{}, queues: map[uint32]*queue{}}
}

type spaceKey struct{ mesh, vmID string }

// Space is what the VMs of one vm_id in one mesh share: over all workers, and
// over all modules that have it. It is gone when the last of them is.
type Space struct {
	spaces *Spaces
	key    spaceKey
	users  int

	// All that follows is under the lock of spaces.
	data   map[string]*entry
	queues map[string]*queue
	bytes  int
}

type entry struct {
	value string
	cas   uint32
}

// queue tells its consumer of each item, of one at a time: what is to come is a
// number, and not a task for each.
type queue struct {
	token    uint32
	space    *Space
	items    []string
	consumer *Instance
	root     uint32

	untold  int     // items that no consumer has been told of; as in Envoy, also of those that are gone by then
	telling *notice // that is on its way to the consumer
}

// notice is the task that tells a consumer of an item.
type notice struct {
	queue    *queue
	consumer *Instance
	root     uint32
}

// Open returns the space of vmID in a mesh, to be closed once.
func (s *Spaces) Open(mesh, vmID string) *Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := spaceKey{mesh, vmID}
	space := s.spaces[key]
	if space == nil {
		space = &Space{spaces: s, key: key, data: map[string]*entry{}, queues: map[string]*queue{}}
		s.spaces[key] = space
	}
	space.users++
	return space
}

// Close ends a use of the space.
func (s *Space) Close() {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	if s.users--; s.users > 0 {
		return
	}
	for _, q := range s.queues {
		delete(s.spaces.queues, q.token)
	}
	delete(s.spaces.spaces, s.key)
}

// forget takes an instance that ends off its queues; what is in them stays.
func (s *Space) forget(i *Instance) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	for _, q := range s.queues {
		if q.consumer == i {
			q.consumer, q.telling = nil, nil
		}
	}
}

// get returns the value of a key and its compare-and-swap number.
func (s *Space) get(key string) (string, uint32, bool) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	e := s.data[key]
	if e == nil {
		return "", 0, false
	}
	return e.value, e.cas, true
}

// set keeps a copy of value, if cas is 0 or that of the value that is there.
// A key that is not there takes any cas, as in Envoy.
func (s *Space) set(key string, value []byte, cas uint32) abi.Status {
	if len(key)+len(value) > maxShared {
		return abi.InternalFailure
	}
	// Both lie in the guest's memory, and are copied while nobody waits for it.
	kept := string(value)
	if _, _, there := s.get(key); !there {
		key = strings.Clone(key)
	}
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	e, more := s.data[key], len(kept)
	switch {
	case e == nil:
		more += len(key) + itemCost
	case cas != 0 && cas != e.cas:
		return abi.CasMismatch
	default:
		more -= len(e.value)
	}
	if s.bytes+more > maxShared {
		return abi.InternalFailure
	}
	s.bytes += more
	if s.spaces.cas++; s.spaces.cas == 0 {
		s.spaces.cas = 1
	}
	if e == nil {
		e = &entry{}
		s.data[key] = e
	}
	e.value, e.cas = kept, s.spaces.cas
	return abi.Ok
}

// register makes a queue, or makes another consumer of one that is there. A
// guest that serves nobody yet takes none from one that does: it claims it, for
// when it serves.
func (s *Space) register(name string, consumer *Instance, root uint32) (token uint32, st abi.Status) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	q := s.queues[name]
	if q == nil {
		if len(s.queues) >= maxQueues || s.bytes+len(name)+itemCost > maxShared {
			return 0, abi.InternalFailure
		}
		name = string([]byte(name))
		s.bytes += len(name) + itemCost
		for {
			s.spaces.token++
			if t := s.spaces.token; t != 0 && s.spaces.queues[t] == nil {
				break
			}
		}
		q = &queue{token: s.spaces.token, space: s}
		s.queues[name], s.spaces.queues[q.token] = q, q
	}
	switch {
	case consumer == nil:
	case consumer.serves() || q.consumer == nil || !q.consumer.serves():
		q.consume(consumer, root)
	default:
		consumer.claims = append(consumer.claims, claim{q, root})
	}
	return q.token, abi.Ok
}

// claim is a queue that an instance consumes once it serves.
type claim struct {
	queue *queue
	root  uint32
}

// take makes an instance the consumer of what it has claimed.
func (s *Space) take(i *Instance) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	for _, c := range i.claims {
		c.queue.consume(i, c.root)
	}
	i.claims = nil
}

// consume makes another consumer, which hears of what nobody was told of. The
// lock is held.
func (q *queue) consume(i *Instance, root uint32) {
	if q.consumer == i && q.root == root {
		return
	}
	q.consumer, q.root, q.telling = i, root, nil
	q.tell()
}

// tell sends a notice if one is due and none is on its way. The lock is held.
// The notice starts from a goroutine of its own, as a tick does: a guest that
// enqueues whenever it is told of an item must not keep whoever runs its
// worker's tasks.
func (q *queue) tell() {
	if q.telling != nil || q.untold == 0 || q.consumer == nil {
		return
	}
	n := &notice{q, q.consumer, q.root}
	q.telling = n
	go n.consumer.post(n.arrive)
}

// arrive tells the consumer of an item, in its worker. One that is no longer the
// consumer hears nothing.
func (n *notice) arrive() {
	q, mu := n.queue, &n.queue.space.spaces.mu
	mu.Lock()
	due := q.telling == n && q.untold > 0
	if due {
		q.untold--
	}
	mu.Unlock()
	if due {
		n.consumer.queueReady(n.root, q.token)
	}
	mu.Lock()
	defer mu.Unlock()
	if q.telling == n {
		q.telling = nil
		q.tell()
	}
}

// resolve finds a queue of any vm_id in the space's mesh.
func (s *Space) resolve(vmID, name string) (token uint32, ok bool) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	space := s.spaces.spaces[spaceKey{s.key.mesh, vmID}]
	if space == nil {
		return 0, false
	}
	q := space.queues[name]
	if q == nil {
		return 0, false
	}
	return q.token, true
}

// queue returns the queue of a token, of any vm_id in the space's mesh, or nil.
func (s *Space) queue(token uint32) *queue {
	q := s.spaces.queues[token]
	if q == nil || q.space.key.mesh != s.key.mesh {
		return nil
	}
	return q
}

// enqueue adds a copy of item, and sees to it that the consumer is told.
func (s *Space) enqueue(token uint32, item []byte) abi.Status {
	if len(item) > maxShared {
		return abi.InternalFailure
	}
	kept := string(item) // while nobody waits for it
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	q := s.queue(token)
	if q == nil {
		return abi.NotFound
	}
	if q.space.bytes+len(item)+itemCost > maxShared {
		return abi.InternalFailure
	}
	q.space.bytes += len(item) + itemCost
	q.items = append(q.items, kept)
	q.untold = min(q.untold+1, maxUntold)
	q.tell()
	return abi.Ok
}

func (s *Space) dequeue(token uint32) (item string, st abi.Status) {
	s.spaces.mu.Lock()
	defer s.spaces.mu.Unlock()
	q := s.queue(token)
	if q == nil {
		return "", abi.NotFound
	}
	if len(q.items) == 0 {
		return "", abi.Empty
	}
	item = q.items[0]
	q.items[0] = ""
	if q.items = q.items[1:]; len(q.items) == 0 {
		q.items = nil
	}
	q.space.bytes -= len(item) + itemCost
	return item, abi.Ok
}

func setSharedData(i *Instance, p []uint64) abi.Status {
	key, ok := i.text(p[0], p[1])
	value, ok2 := i.bytes(p[2], p[3])
	if !ok || !ok2 {
		return abi.InvalidMemoryAccess
	}
	return i.config.Space.set(key, value, uint32(p[4]))
}

func getSharedData(i *Instance, p []uint64) abi.Status {
	key, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	value, cas, ok := i.config.Space.get(key)
	if !ok {
		return abi.NotFound
	}
	if s := i.answer(p[2], p[3], value); s != abi.Ok {
		return s
	}
	return i.answer32(p[4], cas)
}

func registerQueue(i *Instance, p []uint64) abi.Status {
	name, ok := i.text(p[0], p[1])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	var consumer *Instance
	var root uint32
	if r := i.current.root; r != nil {
		consumer, root = i, r.id
	}
	token, s := i.config.Space.register(name, consumer, root)
	if s != abi.Ok {
		return s
	}
	return i.answer32(p[2], token)
}

func resolveQueue(i *Instance, p []uint64) abi.Status {
	vmID, ok := i.text(p[0], p[1])
	name, ok2 := i.text(p[2], p[3])
	if !ok || !ok2 {
		return abi.InvalidMemoryAccess
	}
	if vmID == "" {
		vmID = i.config.VMID
	}
	token, ok := i.config.Space.resolve(vmID, name)
	if !ok {
		return abi.NotFound
	}
	return i.answer32(p[4], token)
}

func enqueue(i *Instance, p []uint64) abi.Status {
	item, ok := i.bytes(p[1], p[2])
	if !ok {
		return abi.InvalidMemoryAccess
	}
	return i.config.Space.enqueue(uint32(p[0]), item)
}

func (i *Instance) queueReady(root, token uint32) {
	c := i.contexts[root]
	f := &i.on[onQueueReady]
	if c == nil || f.fn == nil {
		return
	}
	f.stack[0], f.stack[1] = uint64(root), uint64(token)
	i.call(c, f)
}

func dequeue(i *Instance, p []uint64) abi.Status {
	item, s := i.config.Space.dequeue(uint32(p[0]))
	if s != abi.Ok {
		return s
	}
	return i.answer(p[1], p[2], item)
}
