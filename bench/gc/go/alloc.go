// The loops of alloc, one a size: through generics Go would look the type up at run time.
//
// Each object is stored in a package variable, so that it cannot stay on the stack.
// SPDX-License-Identifier: MIT
package main

type plainOf16 struct{ words [2]uint64 }

var lastPlain16 *plainOf16

func plain16(count uint64) (sum uint64) {
	for i := uint64(0); i < count; i++ {
		lastPlain16 = &plainOf16{}
		lastPlain16.words[0] = i
		sum += 1 + lastPlain16.words[0]
	}
	return sum
}

type holderOf16 struct {
	anchor *anchor
	rest   [1]uint64
}

var lastHolder16 *holderOf16

func holders16(count uint64) (sum uint64) {
	one := &anchor{1}
	for i := uint64(0); i < count; i++ {
		object := &holderOf16{anchor: one}
		object.rest[0] = i
		lastHolder16 = object
		sum += lastHolder16.anchor.value + lastHolder16.rest[0]
	}
	return sum
}

type plainOf32 struct{ words [4]uint64 }

var lastPlain32 *plainOf32

func plain32(count uint64) (sum uint64) {
	for i := uint64(0); i < count; i++ {
		lastPlain32 = &plainOf32{}
		lastPlain32.words[0] = i
		sum += 1 + lastPlain32.words[0]
	}
	return sum
}

type holderOf32 struct {
	anchor *anchor
	rest   [3]uint64
}

var lastHolder32 *holderOf32

func holders32(count uint64) (sum uint64) {
	one := &anchor{1}
	for i := uint64(0); i < count; i++ {
		object := &holderOf32{anchor: one}
		object.rest[0] = i
		lastHolder32 = object
		sum += lastHolder32.anchor.value + lastHolder32.rest[0]
	}
	return sum
}

type plainOf64 struct{ words [8]uint64 }

var lastPlain64 *plainOf64

func plain64(count uint64) (sum uint64) {
	for i := uint64(0); i < count; i++ {
		lastPlain64 = &plainOf64{}
		lastPlain64.words[0] = i
		sum += 1 + lastPlain64.words[0]
	}
	return sum
}

type holderOf64 struct {
	anchor *anchor
	rest   [7]uint64
}

var lastHolder64 *holderOf64

func holders64(count uint64) (sum uint64) {
	one := &anchor{1}
	for i := uint64(0); i < count; i++ {
		object := &holderOf64{anchor: one}
		object.rest[0] = i
		lastHolder64 = object
		sum += lastHolder64.anchor.value + lastHolder64.rest[0]
	}
	return sum
}

type plainOf256 struct{ words [32]uint64 }

var lastPlain256 *plainOf256

func plain256(count uint64) (sum uint64) {
	for i := uint64(0); i < count; i++ {
		lastPlain256 = &plainOf256{}
		lastPlain256.words[0] = i
		sum += 1 + lastPlain256.words[0]
	}
	return sum
}

type holderOf256 struct {
	anchor *anchor
	rest   [31]uint64
}

var lastHolder256 *holderOf256

func holders256(count uint64) (sum uint64) {
	one := &anchor{1}
	for i := uint64(0); i < count; i++ {
		object := &holderOf256{anchor: one}
		object.rest[0] = i
		lastHolder256 = object
		sum += lastHolder256.anchor.value + lastHolder256.rest[0]
	}
	return sum
}
