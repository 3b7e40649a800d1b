// Verifies a copy of the audit log with Go's packages, which know nothing of ours: the checkpoint's signature, the root
// of all leaves, a proof for each leaf and that the tree of a saved checkpoint is how this one begins.
//
// usage: verify FOLDER VKEY SAVED-CHECKPOINT
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// open returns size and root of a checkpoint that the key signed.
func open(file, vkey string) tlog.Tree {
	data, err := os.ReadFile(file)
	check("read", err)
	verifier, err := note.NewVerifier(vkey)
	check("key", err)
	signed, err := note.Open(data, note.VerifierList(verifier))
	check("signature", err)
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		check("checkpoint", fmt.Errorf("not of this log"))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check("size", err)
	root, err := tlog.ParseHash(lines[2])
	check("root", err)
	return tlog.Tree{N: size, Hash: root}
}

// folder reads tiles as c2sp.org/tlog-tiles lays them out; Go's own layout has the height in its paths.
type folder string

func (f folder) Height() int                         { return height }
func (f folder) SaveTiles(_ []tlog.Tile, _ [][]byte) {}
func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := os.ReadFile(filepath.Join(string(f), path))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

func leaves(f folder, size int64) [][]byte {
	var out [][]byte
	for n := int64(0); n*256 < size; n++ {
		tile := tlog.Tile{H: height, L: -1, N: n, W: 256}
		if size-n*256 < 256 {
			tile.W = int(size - n*256)
		}
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/data/", height), "tile/entries/", 1)
		data, err := os.ReadFile(filepath.Join(string(f), path))
		check("entries", err)
		for len(data) > 0 {
			length := int(binary.BigEndian.Uint16(data))
			out = append(out, data[2:2+length])
			data = data[2+length:]
		}
	}
	return out
}

func main() {
	copied := folder(os.Args[1])
	tree, saved := open(filepath.Join(os.Args[1], "checkpoint"), os.Args[2]), open(os.Args[3], os.Args[2])
	reader := tlog.TileHashReader(tree, copied)
	root, err := tlog.TreeHash(tree.N, reader)
	check("tree", err)
	if root != tree.Hash {
		check("tree", fmt.Errorf("another root"))
	}
	all := leaves(copied, tree.N)
	if int64(len(all)) != tree.N {
		check("entries", fmt.Errorf("%d leaves", len(all)))
	}
	for n, leaf := range all {
		proof, err := tlog.ProveRecord(tree.N, int64(n), reader)
		check("proof", err)
		check("leaf", tlog.CheckRecord(proof, tree.N, tree.Hash, int64(n), tlog.RecordHash(leaf)))
	}
	proof, err := tlog.ProveTree(tree.N, saved.N, reader)
	check("proof of the saved checkpoint", err)
	check("saved checkpoint", tlog.CheckTree(proof, tree.N, tree.Hash, saved.N, saved.Hash))
	fmt.Printf("%d leaves\n", tree.N)
}
