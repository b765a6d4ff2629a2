//! The protocol parameters that transactions are held to.

use pallas_primitives::conway::{CostModels, DRepVotingThresholds, PoolVotingThresholds};
use pallas_primitives::{ExUnitPrices, ExUnits, RationalNumber};
use pallas_validate::utils::{ConwayProtParams, MultiEraProtocolParameters};
use serde::Deserialize;

const SHIPPED: &str = include_str!("protocol-parameters.json");

/// Bytes of a transaction at most, whatever `maxTxSize` says, which is often four thousand million for heads: four times what mainnet takes, since the work
/// of adding up tokens grows with the square of it.
pub const MAX_TX_BYTES: u32 = 1 << 16;

/// Lovelace a byte at most: with [`MAX_TX_BYTES`] and [`MAX_FEE_FIXED`] the least fee is a number of 32 bits, as which it is worked out.
pub const MAX_FEE_PER_BYTE: u32 = 4_000;

/// Lovelace at most, see [`MAX_FEE_PER_BYTE`].
pub const MAX_FEE_FIXED: u32 = 100_000_000;

/// Lovelace a byte of an output at most: a thousand ada, beyond which no output could be made.
pub const MAX_UTXO_COST_PER_BYTE: u64 = 1_000_000_000;

/// Why a text holds no protocol parameters.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParametersError {
    /// It is something else.
    #[error("these are no protocol parameters as cardano-cli prints them")]
    Json(#[from] serde_json::Error),
    /// A number that has no meaning.
    #[error("{name} is {value}, more than {most}")]
    TooMuch {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: u64,
        /// Its bound.
        most: u64,
    },
}

/// Those of all parameters that the rules look at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    collateral_percentage: u32,
    max_collateral_inputs: u32,
    max_tx_size: u32,
    max_value_size: u32,
    protocol_version: Version,
    tx_fee_fixed: u32,
    tx_fee_per_byte: u32,
    utxo_cost_per_byte: u64,
}

#[derive(Deserialize)]
struct Version {
    major: u64,
    minor: u64,
}

/// Protocol parameters, as `cardano-cli query protocol-parameters` prints them.
#[derive(Clone, Debug)]
pub struct ProtocolParameters {
    json: String,
    max_tx_bytes: u32,
    pub(super) rules: MultiEraProtocolParameters,
}

impl ProtocolParameters {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// [`ParametersError`].
    pub fn read(json: &str) -> Result<Self, ParametersError> {
        let mut read: Read = serde_json::from_str(json)?;
        read.max_tx_size = read.max_tx_size.min(MAX_TX_BYTES);
        for (name, value, most) in [
            ("txFeePerByte", read.tx_fee_per_byte.into(), MAX_FEE_PER_BYTE.into()),
            ("txFeeFixed", read.tx_fee_fixed.into(), MAX_FEE_FIXED.into()),
            ("utxoCostPerByte", read.utxo_cost_per_byte, MAX_UTXO_COST_PER_BYTE),
        ] {
            if value > most {
                return Err(ParametersError::TooMuch { name, value, most });
            }
        }
        Ok(Self {
            json: json.to_owned(),
            max_tx_bytes: read.max_tx_size,
            rules: MultiEraProtocolParameters::Conway(rules(&read)),
        })
    }

    /// Those of Cardano's mainnet in 2025, but that nothing costs a fee, as heads are mostly run.
    ///
    /// # Errors
    ///
    /// None, as a test sees to.
    pub fn shipped() -> Result<Self, ParametersError> {
        Self::read(SHIPPED)
    }

    /// As they were read.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Bytes of a transaction at most.
    pub fn max_tx_bytes(&self) -> usize {
        usize::try_from(self.max_tx_bytes).unwrap_or(usize::MAX)
    }
}

/// What scripts, stake and governance cost is left at nothing: transactions with any of it are refused.
fn rules(read: &Read) -> ConwayProtParams {
    let nothing = || RationalNumber { numerator: 0, denominator: 1 };
    ConwayProtParams {
        system_start: Default::default(),
        epoch_length: 0,
        slot_length: 1,
        minfee_a: read.tx_fee_per_byte,
        minfee_b: read.tx_fee_fixed,
        max_block_body_size: u32::MAX,
        max_transaction_size: read.max_tx_size,
        max_block_header_size: u32::MAX,
        key_deposit: 0,
        pool_deposit: 0,
        desired_number_of_stake_pools: 0,
        protocol_version: (read.protocol_version.major, read.protocol_version.minor),
        min_pool_cost: 0,
        ada_per_utxo_byte: read.utxo_cost_per_byte,
        cost_models_for_script_languages: CostModels {
            plutus_v1: None,
            plutus_v2: None,
            plutus_v3: None,
            unknown: Default::default(),
        },
        execution_costs: ExUnitPrices { mem_price: nothing(), step_price: nothing() },
        max_tx_ex_units: ExUnits { mem: 0, steps: 0 },
        max_block_ex_units: ExUnits { mem: 0, steps: 0 },
        max_value_size: read.max_value_size,
        collateral_percentage: read.collateral_percentage,
        max_collateral_inputs: read.max_collateral_inputs,
        expansion_rate: nothing(),
        treasury_growth_rate: nothing(),
        maximum_epoch: 0,
        pool_pledge_influence: nothing(),
        pool_voting_thresholds: PoolVotingThresholds {
            motion_no_confidence: nothing(),
            committee_normal: nothing(),
            committee_no_confidence: nothing(),
            hard_fork_initiation: nothing(),
            security_voting_threshold: nothing(),
        },
        drep_voting_thresholds: DRepVotingThresholds {
            motion_no_confidence: nothing(),
            committee_normal: nothing(),
            committee_no_confidence: nothing(),
            update_constitution: nothing(),
            hard_fork_initiation: nothing(),
            pp_network_group: nothing(),
            pp_economic_group: nothing(),
            pp_technical_group: nothing(),
            pp_governance_group: nothing(),
            treasury_withdrawal: nothing(),
        },
        min_committee_size: 0,
        committee_term_limit: 0,
        governance_action_validity_period: 0,
        governance_action_deposit: 0,
        drep_deposit: 0,
        drep_inactivity_period: 0,
        minfee_refscript_cost_per_byte: nothing(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: u64) -> Result<ProtocolParameters, ParametersError> {
        let mut json: serde_json::Value = serde_json::from_str(SHIPPED).unwrap();
        json[name] = value.into();
        ProtocolParameters::read(&json.to_string())
    }

    #[test]
    fn the_shipped_ones_cost_nothing() {
        let MultiEraProtocolParameters::Conway(rules) = ProtocolParameters::shipped().unwrap().rules else {
            unreachable!()
        };
        assert_eq!((rules.minfee_a, rules.minfee_b, rules.ada_per_utxo_byte), (0, 0, 4310));
    }

    #[test]
    fn each_number_may_be_as_large_as_its_bound_and_no_larger() {
        for (name, most) in [
            ("txFeePerByte", u64::from(MAX_FEE_PER_BYTE)),
            ("txFeeFixed", u64::from(MAX_FEE_FIXED)),
            ("utxoCostPerByte", MAX_UTXO_COST_PER_BYTE),
        ] {
            assert!(with(name, most).is_ok());
            assert!(with(name, most + 1).unwrap_err().to_string().contains(name));
        }
        assert_eq!(with("maxTxSize", 16_384).unwrap().max_tx_bytes(), 16_384);
        assert_eq!(with("maxTxSize", u32::MAX.into()).unwrap().max_tx_bytes(), 1 << 16);
        let least_fee = MAX_FEE_PER_BYTE.checked_mul(MAX_TX_BYTES).and_then(|fee| fee.checked_add(MAX_FEE_FIXED));
        assert!(least_fee.is_some());
    }
}
